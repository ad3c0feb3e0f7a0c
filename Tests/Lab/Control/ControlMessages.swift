internal import FoundationEssentials

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
    public var security: String
    public var refusedConnections: Int
    /// Forged, replayed, reflected, malformed.
    public var rejectedHeartbeats: [String: Int]
    /// Malformed, badChecksum, overruns; nil from a daemon of an earlier build.
    public var refusedPackets: [String: Int]?
    public var denial: String?
    public var arbiterProblem: String?
    public var reachable: Bool?
    public var linkProblem: String?
    public var peerReachable: Bool?
    public var heartbeatPaths: [Path]
  }

  public struct Path: Decodable, Sendable {
    public var local: String
    public var alive: Bool
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
  public var obstacle: String?
}

public struct ConnectionList: Decodable, Sendable {
  public var connections: [ControlledConnection]
}

public struct RegisterParameters: Encodable, Sendable {
  public var fd = 0
  public var service: String
  public var key: String?
  public var retention: String?

  public init(service: String, key: String? = nil, retention: String? = nil) {
    self.service = service
    self.key = key
    self.retention = retention
  }
}

public struct ConfirmParameters: Encodable, Sendable {
  public var id: String
  public var consumed: Int
  public init(id: String, consumed: Int) {
    self.id = id
    self.consumed = consumed
  }
}

public struct CheckpointParameters: Encodable, Sendable {
  public var id: String
  /// Base64.
  public var state: String
  public var consumed: Int?
  public var produced: Int?
  public init(id: String, state: String, consumed: Int? = nil, produced: Int? = nil) {
    self.id = id
    self.state = state
    self.consumed = consumed
    self.produced = produced
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
  /// Base64.
  public var state: String?
  public var produced: Int?
}

public struct ReleaseParameters: Encodable, Sendable {
  public var id: String
  public var how: String
  public init(id: String, how: String) {
    self.id = id
    self.how = how
  }
}

/// Bytes as the interface carries them.
public func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

public func bytes(base64 text: String) throws -> [UInt8] {
  guard let data = Data(base64Encoded: text) else { throw LabError("no base64: \(text.prefix(40))") }
  return [UInt8](data)
}

extension DaemonStatus {
  /// Reads what `holdfastctl --json` prints.
  public init(json: String) throws { self = try JSONDecoder().decode(DaemonStatus.self, from: Data(json.utf8)) }
}

extension ConnectionList {
  /// Reads what `holdfastctl --json` prints.
  public init(json: String) throws { self = try JSONDecoder().decode(ConnectionList.self, from: Data(json.utf8)) }
}
