/// The daemon of an active host ends and starts again, and its connections are kept for it meanwhile.
///
/// Nothing is decided while nobody runs: the host's packets are dropped, and the standby, which was asked to, waits. So the new
/// daemon may go on in the same epoch; but whether the standby has waited it must hear. Until a standby follows, or this host has
/// said that it goes on alone, it is mute; and any sign of a later epoch means that the wait was too long.
extension PairMachine {
  /// Who could have gone on in this host's place while no daemon ran.
  public enum Behind: Sendable {
    /// The host served alone.
    case nobody
    /// It is waiting still, because it was asked to.
    case patientStandby
    case standby
  }

  /// Goes on where the daemon's predecessor ended.
  /// - Parameters:
  ///   - epoch: in which that one was active.
  public init(
    _ configuration: Configuration, instance: UInt64, resuming epoch: UInt64, behind: Behind, now: UInt64
  ) {
    self.init(configuration, instance: instance, epoch: epoch, now: now)
    role = .active
    isResumed = true
    self.behind = behind
  }

  /// This host serves with nobody behind it, and has said so: nobody who went on in its place would use old ledgers.
  public var isAlone: Bool {
    guard role == .active else { return false }
    return isResumed ? behind == .nobody && replication == .waiting : replication == .exposed && opensAt == nil
  }

  /// The other host may have gone on in this one's place, and may be dead by now.
  var mayHaveSuccessor: Bool { isResumed && behind == .standby }

  /// The other host is heard, and is not in a later epoch: it has not gone on.
  mutating func noticePredecessorsStandby(_ heartbeat: Heartbeat) {
    if mayHaveSuccessor, heartbeat.role != .active, heartbeat.epoch <= epoch { behind = .patientStandby }
  }

  /// Somebody may have gone on with the connections, and be dead: what is here is then of the past, and nobody is there to say so.
  /// Without an arbiter, which would know, the connections end here, and the host begins with nothing.
  mutating func giveUpIfDue() -> [Action] {
    guard !isWary, configuration.mayExpose, now - waitingSince >= configuration.startHold else { return [] }
    // As long as it may not act alone it can as well wait for the standby.
    if let actions = permission(for: .goAlone) { return actions }
    return fence("a standby may have gone on with the connections meanwhile, and is not heard")
  }

  /// A host that moves its connections at this moment goes on with that instead.
  mutating func restart() -> [Action] {
    guard role == .active, !isHandingOver else { return [] }
    isRestarting = true
    return [.sendHeartbeat]
  }
}
