/// No parameters.
public struct Nothing: Codable, Sendable {
  public init() {}
}

/// `GetStatus`, as far as the tests look at it.
public struct DaemonStatus: Decodable, Sendable {
  public struct Pair: Decodable, Sendable {
    public var name: String
    public var role: String
    public var replication: String
    public var epoch: Int
    public var connections: Int
  }

  public var node: String
  public var pairs: [Pair]
}

/// The interface's `Connection`, as far as the tests look at it.
public struct ControlledConnection: Decodable, Sendable {
  public var id: String
  public var service: String
  public var key: String?
  public var local: String
  public var peer: String
  public var tcpState: String
  public var protected: Bool
  public var received: UInt64
  public var consumed: UInt64
  public var sent: UInt64
  public var unacknowledged: UInt64
  public var timestampOffset: Int
  public var timestampUnit: String
}

public struct ConnectionList: Decodable, Sendable {
  public var connections: [ControlledConnection]
}

public struct RegisterParameters: Encodable, Sendable {
  public var fd = 0
  public var service: String
  public var key: String?

  public init(service: String, key: String? = nil) {
    self.service = service
    self.key = key
  }
}

public struct RegisterResult: Decodable, Sendable {
  public var id: String
  public var protected: Bool
  public var reason: String?
}

public struct AdoptParameters: Encodable, Sendable {
  public var service: String
  public init(service: String) { self.service = service }
}

public struct AdoptResult: Decodable, Sendable {
  public var connection: ControlledConnection
  public var fd: Int
}

public struct ReleaseParameters: Encodable, Sendable {
  public var id: String
  public var how: String
  public init(id: String, how: String) {
    self.id = id
    self.how = how
  }
}
