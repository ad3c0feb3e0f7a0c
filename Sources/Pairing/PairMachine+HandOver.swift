/// How an active host gives its connections to the standby while both live.
///
/// Until the standby holds everything, what the sockets have not sent included, this host can still go on itself. From then
/// on it cannot, whatever becomes of the standby.
extension PairMachine {
  /// The sockets of a synced host stop, if the standby is fit for them.
  mutating func switchOver(as active: Active) -> [Action] {
    guard case .synced = active.phase, !active.isHandingOver, mayHandOver else { return [] }
    self.active?.isHandingOver = true
    return [.prepareHandOver]
  }

  /// The standby holds everything. This host lets go.
  mutating func handOver(as active: Active) -> [Action] {
    guard active.isHandingOver else { return [] }
    permission.void()
    state = .fenced(Fenced(handedOver: now))
    return [.handOver, .sendHeartbeat]
  }

  /// The sockets go on here, if they were stopped. The host does not move by itself again for a while.
  mutating func cancelHandOver() -> [Action] {
    guard active?.isHandingOver == true else { return [] }
    active?.isHandingOver = false
    links.movesAgainAt = now + LinkView.pause
    return [.cancelHandOver]
  }
}
