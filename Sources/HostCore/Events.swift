public import Pairing

extension Host {
  /// What happens to a host.
  public enum Event {
    /// Comes every heartbeat interval, after everything that arrived has been handed in.
    /// - Parameter observed: ns since the last one in which this host ran and could have heard the other.
    case tick(observed: UInt64)
    case heartbeat(path: Int, Heartbeat)
    /// An authentic heartbeat that may be an old one: the peer has not shown that it hears this host.
    case rumour(Heartbeat)
    /// The arbiter's answer to the question of that number.
    case answer(to: UInt64, PairMachine.Answer)
    /// The permission to speak without a standby has ended.
    case permissionEnded
    /// A cluster manager wants this host to be active.
    case promoted
    /// A cluster manager wants this host not to be active, and no standby is there to hand over to.
    case demoted
    /// Whether clients can reach this host at the service addresses.
    case links(isReachable: Bool)
    /// Whether this host's packet table is in force.
    case table(isInForce: Bool)
    /// The standby is to go on in this host's place.
    case switchover
    /// After `Effect.standStill`: the sockets stand still, and what they hold and have not sent is recorded.
    case stoodStill
    /// The connections cannot move now; they go on here.
    case cannotMove
    /// The daemon is to end and to start again, and this host is steady (`Host.isSteady`); `muted` is to follow.
    case restart
    /// No packet passes any more, and what had come is recorded: `Effect.restartReady` follows.
    case muted
    /// Connections of this host are built anew, as after a takeover: they cannot move meanwhile.
    case rebuilding
    /// Every connection that `Effect.takeOver` brought, or that was to be built anew, is restored or lost.
    case takeoverEnded
    /// The transport of the standby's session has ended.
    case standbyEnded(reason: String)
    /// A session with the active host begins; nothing has come over it yet.
    case sourceConnecting
    /// The transport of that session has ended.
    case sourceEnded(reason: String)
    /// The daemon ends for good.
    case end
  }
}
