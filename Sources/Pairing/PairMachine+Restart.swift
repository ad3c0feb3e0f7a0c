/// The daemon of an active host ends and starts again, and its connections are kept for it meanwhile.
///
/// Nothing is decided while nobody runs: the host's packets are dropped, and the standby, which was asked to, waits. So the new
/// daemon may go on in the same epoch; but whether the standby has waited it must hear. Until a standby follows, or this host has
/// said that it goes on alone, it is mute; and any sign of a later epoch means that the wait was too long.
extension PairMachine {
  /// Goes on where the daemon's predecessor ended.
  /// - Parameter epoch: in which that one was active.
  public init(_ configuration: Configuration, instance: UInt64, resuming epoch: UInt64, now: UInt64) {
    self.init(configuration, instance: instance, epoch: epoch, now: now)
    role = .active
    isResumed = true
  }

  /// A host that moves its connections at this moment goes on with that instead.
  mutating func restart() -> [Action] {
    guard role == .active, !isHandingOver else { return [] }
    isRestarting = true
    return [.sendHeartbeat]
  }
}
