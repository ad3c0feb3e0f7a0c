/// A reply that carries a descriptor: `fd` is its index among those of the message.
public protocol DescriptorCarrying {
  var fd: Int { get set }
}

/// When input counts as consumed.
public enum Retention: String, Codable, Hashable, Sendable, CaseIterable {
  /// When the application has read it.
  case read
  /// When the application says so.
  case confirm
}

/// What becomes of a connection that is released from protection.
public enum ReleaseMode: String, Codable, Hashable, Sendable, CaseIterable {
  /// It goes on, unprotected.
  case keep
  /// An orderly end, protected until both sides have closed.
  case close
  case reset
}

public struct RegisterCall: Codable, Hashable, Sendable {
  public var fd: Int
  public var service: String
  public var key: String?
  public var retention: Retention?

  public init(fd: Int = 0, service: String, key: String? = nil, retention: Retention? = nil) {
    self.fd = fd
    self.service = service
    self.key = key
    self.retention = retention
  }
}

public struct RegisterReply: Codable, Hashable, Sendable {
  public var id: String
  /// The standby could continue the connection now.
  public var protected: Bool
  /// Why not.
  public var reason: String?

  public init(id: String, protected: Bool, reason: String? = nil) {
    self.id = id
    self.protected = protected
    self.reason = reason
  }
}

public struct AdoptCall: Codable, Hashable, Sendable {
  public var service: String
  public init(service: String) { self.service = service }
}

public struct AdoptReply: Codable, Hashable, Sendable, DescriptorCarrying {
  public var connection: ConnectionInfo
  public var fd: Int
  /// The newest covered checkpoint's state, base64.
  public var state: String?
  /// Its output offset.
  public var produced: Int?

  public init(connection: ConnectionInfo, fd: Int = 0, state: String? = nil, produced: Int? = nil) {
    self.connection = connection
    self.fd = fd
    self.state = state
    self.produced = produced
  }
}

public struct ReleaseCall: Codable, Hashable, Sendable {
  public var id: String
  public var how: ReleaseMode?

  public init(id: String, how: ReleaseMode? = nil) {
    self.id = id
    self.how = how
  }
}

public struct StatusReply: Codable, Hashable, Sendable {
  /// This host's name.
  public var node: String
  public var pairs: [PairStatus]
  public var packetTable: PacketTableStatus?
  /// Why the configuration file cannot be used: the daemon was restarted and runs with the last good one. nil when it runs with its file.
  public var configurationProblem: String?

  public init(
    node: String, pairs: [PairStatus], packetTable: PacketTableStatus? = nil, configurationProblem: String? = nil
  ) {
    self.node = node
    self.pairs = pairs
    self.packetTable = packetTable
    self.configurationProblem = configurationProblem
  }
}

public struct ListConnectionsCall: Codable, Hashable, Sendable {
  public var pair: String?
  public var service: String?

  public init(pair: String? = nil, service: String? = nil) {
    self.pair = pair
    self.service = service
  }
}

public struct ListConnectionsReply: Codable, Hashable, Sendable {
  public var connections: [ConnectionInfo]
  public init(connections: [ConnectionInfo]) { self.connections = connections }
}

public struct CheckpointCall: Codable, Hashable, Sendable {
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

public struct ConfirmCall: Codable, Hashable, Sendable {
  public var id: String
  public var consumed: Int

  public init(id: String, consumed: Int) {
    self.id = id
    self.consumed = consumed
  }
}

public struct SwitchoverCall: Codable, Hashable, Sendable {
  public var pair: String
  public init(pair: String) { self.pair = pair }
}

/// Something that happened to a pair or a connection.
public struct EventInfo: Codable, Hashable, Sendable {
  public var kind: String
  public var pair: String?
  public var connection: String?
  public var message: String

  public init(kind: String, pair: String? = nil, connection: String? = nil, message: String) {
    self.kind = kind
    self.pair = pair
    self.connection = connection
    self.message = message
  }
}

public struct MonitorReply: Codable, Hashable, Sendable {
  public var event: EventInfo
  public init(event: EventInfo) { self.event = event }
}
