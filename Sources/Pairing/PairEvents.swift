extension PairMachine {
  public enum Event: Sendable {
    /// Comes every heartbeat interval, after everything that arrived has been handed in.
    case tick
    case heartbeat(path: Int, Heartbeat)
    /// An authentic heartbeat that may be an old one, sent again by somebody: the peer has not shown that it hears this host.
    case rumour(Heartbeat)
    /// The arbiter's answer to the question of that number. Each question is answered once.
    case answer(to: UInt64, Answer)
    /// The permission to speak without a standby ends, unless it is given anew: nothing may leave from now on.
    case permissionEnded
    /// A cluster manager wants this host to be active. From now on this host has the permission to act alone.
    case promoted
    /// A cluster manager wants this host not to be active, and no standby is there to hand over to.
    case demoted
    /// Whether clients can reach this host at the service addresses, as far as it knows: `PairMachine+Links.swift`.
    case links(isReachable: Bool)

    // On the active host.
    /// A standby has connected and is being synced.
    case channelUp
    /// The last baseline has been written; the standby will count itself synced when it has read as far.
    case syncEnding
    case standbySynced
    /// - Parameter silence: ns for which it has been known that the standby does not keep up.
    case channelDown(silence: UInt64)
    /// The standby said that it stops.
    case standbyLeft
    /// The standby is to go on in this host's place: an operator says so, or the daemon ends in order.
    case switchover
    /// The standby holds everything, down to what the sockets have not sent; nothing moves here any more.
    case handOverReady
    /// The standby did not hold everything in time: this host goes on.
    case handOverFailed
    /// The daemon is about to end and to start again, with the connections kept for it: `PairMachine+Restart.swift`.
    case restart

    // On the standby.
    /// A session with the active host, which is in `epoch`, has begun.
    case following(epoch: UInt64, instance: UInt64)
    /// All ledgers are here.
    case syncCompleted
    case sourceLost
    /// The active host said that it goes on alone, or stops without a standby that could continue.
    case sourceLeft
    /// The active host has stopped sending and said so: everything is in the ledgers.
    case handedOver
  }

  public enum TakeoverReason: Hashable, Sendable {
    case peerSilent
    case handover
  }

  /// How to go on in the peer's place.
  public struct Takeover: Hashable, Sendable {
    public var epoch: UInt64
    public var reason: TakeoverReason
    /// Whether the ledgers may be restored; otherwise their connections are reset.
    public var areLedgersUsable: Bool
    /// ns since the peer was last heard.
    public var silence: UInt64
  }

  public enum Note: Hashable, Sendable {
    case pathAlive(Int)
    /// This host would act alone and was not permitted to. It asks again.
    case notPermitted(Purpose, reason: String)
    /// The peer is active too, in an earlier epoch: it will fence itself when it hears us.
    case conflict(node: String, epoch: UInt64)
    /// The pair is about to move to that host, because clients can reach it and cannot reach this one.
    case movesToReachable(node: String)
  }

  public enum Action: Hashable, Sendable {
    /// Take the addresses, with nothing to continue.
    case becomeActive(epoch: UInt64, reason: String)
    case takeOver(Takeover)
    case becomeStandby(reason: String)
    /// Forget the ledgers, follow nobody, claim nothing.
    case startOver(reason: String)
    /// Let go of everything without a packet.
    case fence(String)
    case openGate
    case holdGate
    /// Stop the sockets, and record what they hold and have not sent.
    case prepareHandOver
    /// The sockets go on here.
    case cancelHandOver
    /// Let go of everything without a packet, and tell the standby to go on.
    case handOver
    /// Standby: end the session with the active host, and connect again.
    case leaveSource(String)
    /// End the standby's session; it may connect again.
    case detachStandby(String)
    /// `replication` changed.
    case setReplication(ReplicationPhase)
    /// `Event.answer` is to follow.
    case ask(Question)
    /// Do not wait for the next tick.
    case sendHeartbeat
    case note(Note)
  }
}
