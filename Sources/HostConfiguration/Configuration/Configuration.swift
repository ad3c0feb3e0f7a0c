public import LinuxNetwork
public import TCPModel
public import TLSTransport

/// What the operator decided, checked: every value is in range and the values fit each other.
///
/// Times are nanoseconds, like everywhere in the daemon. The keys of the file are in docs/configuration.md.
public struct Configuration: Sendable, Equatable {
  public var node: Node
  /// At least one.
  public var pairs: [Pair]
  /// Those for which something is configured; by name.
  public var services: [String: Service] = [:]

  public init(node: Node, pairs: [Pair]) {
    self.node = node
    self.pairs = pairs
  }

  /// This host and what all its pairs share.
  public struct Node: Sendable, Equatable {
    /// The host's name in the journal and in its peers' status.
    public var name: String
    /// Path of the control socket.
    public var control = "/run/holdfast/control.sock"
    /// The control socket's permission bits.
    public var controlMode: UInt32 = 0o660
    /// The group that owns the control socket; `nil`: the daemon's own.
    public var controlGroup: String?
    /// The key `mark_mask` of earlier releases is there: it has no effect any more.
    public var hasMarkMask = false
    /// Whether nobody but the daemon may change its packet table, where the kernel can see to that (Linux 6.9).
    public var ownedTable = true
    /// The first netfilter queue; each pair takes two.
    public var queueBase: UInt16 = 4200
    /// How long a restored connection waits for an application to adopt it.
    public var adoptTimeout: UInt64 = 5_000_000_000
    /// Connections that the processes of one user may have registered.
    public var connectionsPerUser = 100_000

    public init(name: String) { self.name = name }
  }

  /// Two hosts that continue each other's connections to some addresses.
  public struct Pair: Sendable, Equatable {
    /// Equal on both hosts.
    public var name: String
    /// At least one; no address is in two pairs.
    public var addresses: [ServiceAddress]
    /// This host's role when both start with nothing to continue.
    public var prefer: Prefer
    public var replication: ReplicationLink
    public var heartbeat: Heartbeat
    public var solo = Solo()
    /// What becomes of the connections when the daemon ends in order on the active host.
    public var onStop = OnStop.switchover
    /// Between two announcements of the addresses when nothing happens; 0 for none.
    public var announceRefresh: UInt64 = 60_000_000_000
    /// Whether this host watches how clients reach it, says so, and moves the pair when they reach the other host alone.
    public var tracksLinks = true
    /// For how long that must be so.
    public var linkDownAfter: UInt64 = 500_000_000
    /// Neighbours of which one must answer, or clients do not reach this host.
    public var witnesses: [IPAddress] = []

    public init(
      name: String, addresses: [ServiceAddress], prefer: Prefer, replication: ReplicationLink, heartbeat: Heartbeat,
      solo: Solo = Solo()
    ) {
      self.name = name
      self.addresses = addresses
      self.prefer = prefer
      self.replication = replication
      self.heartbeat = heartbeat
      self.solo = solo
    }
  }
}

extension Configuration.Pair {
  public enum Prefer: String, Sendable, CaseIterable { case active, standby }

  /// Where the stream of records goes.
  public struct ReplicationLink: Sendable, Equatable {
    /// Where this host listens while it is active, and from whose address it calls while it is standby.
    public var local: Endpoint
    public var peer: Endpoint
    public var security: Security

    public init(local: Endpoint, peer: Endpoint, security: Security = .none) {
      self.local = local
      self.peer = peer
      self.security = security
    }
  }

  /// What protects the stream of records on its link.
  public enum Security: Sendable, Equatable {
    case tls(Trust)
    /// Nothing: the link carries it and nothing else.
    case none
  }

  /// Who this host is for its peer, and who the peer is.
  public struct Trust: Sendable, Equatable {
    /// Path of this host's certificate.
    public var certificate = "/etc/holdfast/holdfast.crt"
    /// Path of its private key.
    public var key = "/etc/holdfast/holdfast.key"
    /// The peer's certificates: one, and a second one while its key changes.
    public var peers: [Fingerprint]

    public init(peers: [Fingerprint]) { self.peers = peers }
  }

  /// One way on which the two hosts hear each other.
  public struct HeartbeatPath: Sendable, Equatable {
    public var local: Endpoint
    public var peer: Endpoint

    public init(local: Endpoint, peer: Endpoint) {
      self.local = local
      self.peer = peer
    }
  }

  public struct Heartbeat: Sendable, Equatable {
    /// At least one.
    public var paths: [HeartbeatPath]
    /// Between two heartbeats.
    public var interval: UInt64 = 50_000_000
    /// Silence on every path for so long means that the peer is dead; at least twice `interval`.
    public var deadAfter: UInt64 = 200_000_000
    /// How long the peer is asked to wait while this host's daemon starts anew, in whole seconds.
    public var restartPatience: UInt64 = 10_000_000_000

    public init(paths: [HeartbeatPath]) { self.paths = paths }
  }

  /// What this host may do without the other.
  public struct Solo: Sendable, Equatable {
    public var arbiter: Arbiter = .none
    public var policy: Policy = .allow
    /// How long packets are held for a standby that no longer answers before the connections go on without one.
    public var exposeAfter: UInt64 = 500_000_000
    /// Without an arbiter: addresses that must answer before this host acts alone.
    public var witnesses: [IPAddress] = []

    public init() {}
  }

  /// Who is asked before a host acts alone.
  public enum Arbiter: Sendable, Equatable {
    /// Nobody but the network: `policy` decides.
    case none
    case etcd(Etcd)
    /// A cluster manager, which promotes and demotes hosts.
    case external
  }

  /// A consensus service, and how it is reached.
  public struct Etcd: Sendable, Equatable {
    /// `https://10.77.0.30:2379`; at least one, tried in turn.
    public var endpoints: [String]
    /// Path of the certificates of those who may vouch for an endpoint; nil for the system's.
    public var authorities: String?
    /// Paths of this host's certificate and key; nil where etcd does not ask.
    public var certificate: String?
    public var key: String?
    /// Where the pair's keys are.
    public var prefix = "/holdfast/"
    /// How long a host that speaks alone may be cut off from etcd before it is mute.
    public var lease: UInt64 = 3_000_000_000
    /// How long an answer is waited for, over all endpoints.
    public var timeout: UInt64 = 1_000_000_000

    public init(endpoints: [String]) { self.endpoints = endpoints }
  }

  public enum OnStop: String, Sendable, CaseIterable {
    /// They move to the standby, if it is synced.
    case switchover
    /// They stay, and go on unprotected.
    case keep
  }

  public enum Policy: String, Sendable, CaseIterable {
    /// An active host whose standby is lost goes on without one after `exposeAfter`.
    case allow
    /// It does not: protected connections stand still until a standby follows again.
    case hold
  }
}
