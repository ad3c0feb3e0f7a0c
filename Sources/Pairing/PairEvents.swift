extension PairMachine {
  /// What has happened. Each event reaches the machine through `handle(_:now:)`, with the time.
  public enum Event: Sendable {
    /// A heartbeat interval has passed. Everything that arrived before has been handed in.
    case tick
    /// A heartbeat that is from now has arrived on the path of that number, from 0.
    case heartbeat(path: Int, Heartbeat)
    /// An authentic heartbeat that may be an old one, sent again by somebody: the peer has not shown that it hears this host.
    case rumour(Heartbeat)
    /// The arbiter's answer to the question of that number. Each question is answered once.
    case answer(to: UInt64, Answer)
    /// The permission to speak without a standby ends, unless it is given anew: nothing may leave from now on.
    case permissionEnded
    /// A cluster manager makes this host active. From now on this host has the permission to act alone.
    case promoted
    /// A cluster manager ends this host's active role, and no standby is there to hand over to.
    case demoted
    /// Whether clients can reach this host at the service addresses, as far as it knows: `PairMachine+Links.swift`.
    case links(isReachable: Bool)

    // On the active host.
    /// A standby has connected and is being synced.
    case channelUp
    /// The last baseline has been written. The standby will count itself synced when it has read as far.
    case syncEnding
    /// The standby has read as far as the last baseline: it could continue every connection.
    case standbySynced
    /// The channel to the standby is gone.
    /// - Parameter silence: The time for which it has been known that the standby does not keep up, ns.
    case channelDown(silence: UInt64)
    /// The standby said that it stops.
    case standbyLeft
    /// The standby is to go on in this host's place: an operator says so, or the daemon ends in order.
    case switchover
    /// The standby holds everything, down to what the sockets have not sent. Nothing moves on this host any more.
    case handOverReady
    /// The standby did not hold everything in time: this host goes on.
    case handOverFailed
    /// The daemon is about to end and to start again, with the connections kept for it: `PairMachine+Restart.swift`.
    case restart

    // On the standby.
    /// A session with the active host has begun. The active host is in `epoch`, and its daemon is `instance`.
    case following(epoch: UInt64, instance: UInt64)
    /// All ledgers have arrived from the active host.
    case syncCompleted
    /// The channel to the active host is gone.
    case sourceLost
    /// The active host said that it goes on alone, or stops without a standby that could continue.
    case sourceLeft
    /// The active host has stopped sending and said so: everything is in the ledgers.
    case handedOver
  }

  /// Why a standby goes on in the active host's place.
  public enum TakeoverReason: Hashable, Sendable {
    /// No path has brought a heartbeat of an active host for as long as it takes to count as dead.
    case peerSilent
    /// The active host has let go in this host's favour.
    case handover
  }

  /// How to go on in the peer's place.
  public struct Takeover: Hashable, Sendable {
    /// The epoch that this host enters with the takeover.
    public var epoch: UInt64
    /// Why this host takes over.
    public var reason: TakeoverReason
    /// Whether the ledgers may be restored; otherwise their connections are reset.
    public var areLedgersUsable: Bool
    /// The time since an active peer was last heard, as far as this host observed it, ns; 0 after a handover.
    public var silence: UInt64
  }

  /// What an operator may want to read. Nothing has to be done.
  public enum Note: Hashable, Sendable {
    /// The path of that number, from 0, brings heartbeats after a silence, or for the first time.
    case pathAlive(Int)
    /// This host would act alone and was not permitted to. It asks again.
    case notPermitted(Purpose, reason: String)
    /// The peer is active too, in the same epoch or an earlier one: it will fence itself when it hears this host.
    case conflict(node: String, epoch: UInt64)
    /// The pair is about to move to that host, because clients can reach it and cannot reach this one.
    case movesToReachable(node: String)
  }

  /// What is to be done. The caller carries the actions of one event out in order.
  public enum Action: Hashable, Sendable {
    /// Take the addresses, with nothing to continue.
    case becomeActive(epoch: UInt64, reason: String)
    /// Take the addresses, and continue or reset the connections of the ledgers.
    case takeOver(Takeover)
    /// Follow the active host.
    case becomeStandby(reason: String)
    /// Forget the ledgers, follow nobody, claim nothing.
    case startOver(reason: String)
    /// Let go of everything without a packet. The text is the reason.
    case fence(String)
    /// Let every packet pass without the standby's acknowledgement.
    case openGate
    /// Hold each packet until the standby has acknowledged it.
    case holdGate
    /// Stop the sockets, and record what they hold and have not sent.
    case prepareHandOver
    /// Let the stopped sockets go on.
    case cancelHandOver
    /// Let go of everything without a packet, and tell the standby to go on.
    case handOver
    /// End the session with the active host, and connect again. The text is the reason. For a standby.
    case leaveSource(String)
    /// End the standby's session; it may connect again. The text is the reason.
    case detachStandby(String)
    /// Tell everybody who depends on it that `replication` has changed.
    case setReplication(ReplicationPhase)
    /// Put the question to whom `Asks` names. `Event.answer` is to follow.
    case ask(Question)
    /// Send a heartbeat now, before the next tick.
    case sendHeartbeat
    /// Write a note into the journal.
    case note(Note)
  }
}
