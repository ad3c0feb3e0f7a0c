/// A pair as this host sees it: `PairStatus` in the interface description.
public struct PairStatus: Codable, Hashable, Sendable {
  public var name: String
  public var role: RoleName
  public var replication: ReplicationState
  public var epoch: Int
  /// The other host's name; nil until it was heard.
  public var peer: String?
  public var addresses: [String]
  /// Registered connections that this host owns.
  public var connections: Int
  /// How many of them the standby could continue now.
  public var protected: Int
  /// Connections that this host could continue if it took over.
  public var ledgers: Int
  /// What protects the channel between the hosts.
  public var security: SecurityName
  /// Connections to the replication channel that came from somebody who is not the peer.
  public var refusedConnections: Int
  public var rejectedHeartbeats: RejectedHeartbeats
  /// nil from a daemon that does not count them.
  public var refusedPackets: RefusedPackets?
  /// Why this host does not act alone, where it would; nil where nothing keeps it from anything.
  public var denial: String?
  /// Why the arbiter cannot be asked; nil while it can, or where there is none.
  public var arbiterProblem: String?
  /// Whether clients can reach this host at the service addresses, as far as it can know; nil where the configuration does not want
  /// links to be tracked.
  public var reachable: Bool?
  /// Why they cannot.
  public var linkProblem: String?
  /// Whether the other host says that they can reach it; nil while it is not heard, or does not say.
  public var peerReachable: Bool?
  public var heartbeatPaths: [HeartbeatPath]
  /// What is on the interfaces now, in the order of `addresses`.
  public var addressStates: [AddressStatus]

  public init(
    name: String, role: RoleName, replication: ReplicationState, epoch: Int, peer: String?, addresses: [String],
    connections: Int, protected: Int, ledgers: Int, security: SecurityName, refusedConnections: Int,
    rejectedHeartbeats: RejectedHeartbeats, refusedPackets: RefusedPackets? = nil, denial: String? = nil,
    arbiterProblem: String? = nil,
    reachable: Bool? = nil, linkProblem: String? = nil, peerReachable: Bool? = nil, heartbeatPaths: [HeartbeatPath],
    addressStates: [AddressStatus] = []
  ) {
    self.name = name
    self.role = role
    self.replication = replication
    self.epoch = epoch
    self.peer = peer
    self.addresses = addresses
    self.connections = connections
    self.protected = protected
    self.ledgers = ledgers
    self.security = security
    self.refusedConnections = refusedConnections
    self.rejectedHeartbeats = rejectedHeartbeats
    self.refusedPackets = refusedPackets
    self.denial = denial
    self.arbiterProblem = arbiterProblem
    self.reachable = reachable
    self.linkProblem = linkProblem
    self.peerReachable = peerReachable
    self.heartbeatPaths = heartbeatPaths
    self.addressStates = addressStates
  }
}

/// What protects the channel between the hosts, and who authenticates their heartbeats.
public enum SecurityName: String, Codable, Hashable, Sendable, CaseIterable {
  case tls
  /// Nothing does.
  case none
}

/// Datagrams on the heartbeat paths that were ignored.
public struct RejectedHeartbeats: Codable, Hashable, Sendable {
  /// No heartbeat of this pair.
  public var malformed: Int
  /// Not made by the peer.
  public var forged: Int
  /// Made by the peer some time ago.
  public var replayed: Int
  /// Made by this host.
  public var reflected: Int

  public init(malformed: Int = 0, forged: Int = 0, replayed: Int = 0, reflected: Int = 0) {
    self.malformed = malformed
    self.forged = forged
    self.replayed = replayed
    self.reflected = reflected
  }

  public var total: Int { malformed + forged + replayed + reflected }
}

/// Packets of registered connections that no ledger could take in, since the daemon was started.
public struct RefusedPackets: Codable, Hashable, Sendable {
  /// No TCP segment, or one that came cut off: dropped.
  public var malformed: Int
  /// The checksum is wrong: left to the kernel, which drops such a packet.
  public var badChecksum: Int
  /// How often the kernel's queue was full and dropped packets, which their senders send again.
  public var overruns: Int

  public init(malformed: Int = 0, badChecksum: Int = 0, overruns: Int = 0) {
    self.malformed = malformed
    self.badChecksum = badChecksum
    self.overruns = overruns
  }

  public var total: Int { malformed + badChecksum + overruns }
}

/// A service address as it is on this host.
public struct AddressStatus: Codable, Hashable, Sendable {
  /// As it is configured: `10.77.0.100/24 dev eth0`.
  public var address: String
  /// It is on its interface now.
  public var present: Bool
  /// Why it does not work here, or would not; nil when nothing is in the way.
  public var problem: String?

  public init(address: String, present: Bool, problem: String? = nil) {
    self.address = address
    self.present = present
    self.problem = problem
  }
}

/// One way on which the two hosts hear each other.
public struct HeartbeatPath: Codable, Hashable, Sendable {
  public var local: String
  public var peer: String
  public var alive: Bool
  /// How long ago, ms; nil when never.
  public var lastHeardMilliseconds: Int?

  public init(local: String, peer: String, alive: Bool, lastHeardMilliseconds: Int?) {
    self.local = local
    self.peer = peer
    self.alive = alive
    self.lastHeardMilliseconds = lastHeardMilliseconds
  }
}

/// What this host is for the pair.
public enum RoleName: String, Codable, Hashable, Sendable, CaseIterable {
  case starting, active, standby, fenced
}

/// How far the standby is.
public enum ReplicationState: String, Codable, Hashable, Sendable, CaseIterable {
  /// The standby holds everything that has left.
  case synced
  /// The standby follows, and is being brought up to date.
  case syncing
  /// No standby follows, and this host goes on alone.
  case exposed
  /// No standby follows, and nothing leaves; or there is nothing to follow.
  case waiting
  /// What this standby holds is out of date.
  case stale
}
