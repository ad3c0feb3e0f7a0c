extension PairMachine {
  /// A host that owns the service addresses and the connections.
  struct Active: Sendable {
    var phase: Phase
    var claim = Claim.firm
    /// The sockets stand still, and the standby is about to go on in this host's place.
    var isHandingOver = false
    /// The daemon is about to end and to start again.
    var isRestarting = false
    /// Clients cannot reach this host and can reach the standby; nil while it is not so.
    var outage: Outage?

    /// Packets may leave this host that no standby has confirmed, now or shortly.
    var speaksAlone: Bool {
      switch phase {
      case .exposed, .syncing(isEnding: false): true
      case .waiting, .syncing(isEnding: true), .synced: false
      }
    }

    /// A standby may have gone on in this host's place while no daemon ran here, and may be dead by now.
    var mayHaveSuccessor: Bool { claim == .resumed(.standby) }
  }

  /// What follows an active host, as `ReplicationPhase` tells it to others.
  enum Phase: Sendable {
    /// No standby follows, and nothing leaves.
    case waiting(Waiting)
    /// A standby is being brought up to date. Once the sync is ending on the stream the standby may count itself synced, and
    /// nothing leaves that it has not confirmed; the gate is open before where it was open when the sync began.
    case syncing(isEnding: Bool)
    /// The standby could continue every connection.
    case synced
    /// No standby follows. The gate is open, or opens soon.
    case exposed(Exposed)

    /// The phase without its payload, for heartbeats and callers.
    var replication: ReplicationPhase {
      switch self {
      case .waiting: .waiting
      case .syncing: .syncing
      case .synced: .synced
      case .exposed: .exposed
      }
    }
  }

  /// An active host that is mute because no standby follows.
  struct Waiting: Sendable {
    /// When the standby was lost, ns.
    var since: UInt64
    /// The standby said that it stops. It will not take over, so nobody need wait for it.
    var standbyHasLeft = false
  }

  /// An active host that goes on without a standby.
  struct Exposed: Sendable {
    /// When the gate opens, ns; nil once it has.
    var opensAt: UInt64?
    /// The last standby said that it stops, and none has come since.
    var standbyHasLeft = false
  }

  /// How sure an active host is that no other host has a better right to be active.
  enum Claim: Hashable, Sendable {
    /// It has said that it goes on alone, or a standby was synced, or it won its epoch.
    case firm
    /// It has begun without the arbiter, because the other host was there and agreed. No standby was synced yet.
    case agreed
    /// Its daemon goes on where the last one ended, and has neither a synced standby nor said that it goes on alone.
    case resumed(Behind)
  }

  /// How long clients cannot reach this host and can reach the standby.
  struct Outage: Sendable {
    /// When it began, ns.
    var since: UInt64
    /// How much of it this host has observed, ns.
    var observed: UInt64 = 0
  }
}
