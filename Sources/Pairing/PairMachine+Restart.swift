/// The daemon of an active host ends and starts again, and its connections are kept for it meanwhile.
///
/// Nothing is decided while no daemon runs: the host's packets are dropped, and the standby waits, if it was asked to. So the
/// new daemon may go on in the same epoch. Whether the standby has waited, it has to hear. It is mute until a standby follows
/// or it has said that it goes on alone. Any sign of a later epoch means that the wait was too long.
extension PairMachine {
  /// Who could have gone on in this host's place while no daemon ran.
  public enum Behind: Sendable {
    /// The host served alone.
    case nobody
    /// A standby that is waiting still, because it was asked to.
    case patientStandby
    /// A standby that was not asked to wait, or has waited as long as it was asked to.
    case standby
  }

  /// An active host that goes on where its daemon's predecessor ended.
  /// - Parameters:
  ///   - configuration: The pair's configuration.
  ///   - instance: The random number of this daemon's run.
  ///   - epoch: The epoch in which the predecessor was active. Below `Epoch.limit`.
  ///   - behind: Who could have gone on in this host's place meanwhile.
  ///   - now: CLOCK_MONOTONIC, ns.
  public init(
    _ configuration: Configuration, instance: UInt64, resuming epoch: UInt64, behind: Behind, now: UInt64
  ) {
    let active = Active(phase: .waiting(Waiting(since: now)), claim: .resumed(behind))
    self.init(configuration, instance: instance, epoch: epoch, now: now, state: .active(active))
  }

  /// This host serves with nobody behind it, and has said so: a host that went on in its place would use old ledgers.
  public var isAlone: Bool {
    guard let active else { return false }
    switch (active.phase, active.claim) {
    case (.waiting, .resumed(.nobody)): return true
    case (_, .resumed): return false
    case (.exposed(let exposed), _): return exposed.opensAt == nil
    case (.waiting, _), (.syncing, _), (.synced, _): return false
    }
  }

  /// The other host is heard, is not active, and is not in a later epoch. So it has not gone on.
  mutating func noticePredecessorsStandby() {
    if active?.mayHaveSuccessor == true { active?.claim = .resumed(.patientStandby) }
  }

  /// Ends the connections of a host whose standby may have gone on with them and is not heard.
  ///
  /// What is here may be of the past, and the standby may be dead and cannot say so. Without an arbiter, which would know, the
  /// host gives up and begins with nothing.
  mutating func giveUpIfDue(_ waiting: Waiting) -> [Action] {
    guard !isWary, configuration.mayExpose, now - waiting.since >= configuration.startHold else { return [] }
    // As long as it may not act alone it can as well wait for the standby.
    if let actions = permission(for: .goAlone) { return actions }
    return fence("a standby may have gone on with the connections meanwhile, and is not heard")
  }

  /// The daemon is about to end. A host that hands over at this moment goes on with that instead.
  mutating func restart(as active: Active) -> [Action] {
    guard !active.isHandingOver else { return [] }
    self.active?.isRestarting = true
    return [.sendHeartbeat]
  }
}
