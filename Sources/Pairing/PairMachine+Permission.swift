/// How a host asks before it acts alone: before it takes over, goes on without a standby, or begins with nothing.
///
/// Each of them is a new epoch. Until the answer has come the host stays what it is: it claims no address, and its gate is
/// shut.
extension PairMachine {
  /// The first epoch that is above all that this host knows, and above what the other host may have entered unheard.
  ///
  /// An active host whose standby is gone goes on alone in the next epoch, and may stand still before anybody has heard so. A
  /// host that then acts in its place must not be in the same epoch: two steps outrank one.
  func nextEpoch(for purpose: Purpose) -> UInt64 {
    Epoch.after(knownEpoch, by: purpose == .goAlone ? 1 : 2)
  }

  /// The highest epoch that this host knows.
  private var knownEpoch: UInt64 { max(epoch, peer.latest?.epoch ?? 0) }

  /// Uses the permission to act, or asks for it.
  /// - Returns: nil when this host may act now; otherwise what to do instead.
  mutating func permission(for purpose: Purpose) -> [Action]? {
    guard configuration.asks != .nobody else { return nil }
    if let granted = permission.epoch(for: purpose, now: now) {
      if granted >= nextEpoch(for: purpose) { return nil }
      permission.void()
    }
    return ask(purpose)
  }

  /// Puts the question, unless one is open, answered, or was refused a moment ago.
  mutating func ask(_ purpose: Purpose) -> [Action] {
    guard configuration.asks != .nobody else { return [] }
    return permission.ask(purpose, epoch: nextEpoch(for: purpose), known: knownEpoch, now: now).map { [.ask($0)] } ?? []
  }

  /// Enters the next epoch, or the one that was granted.
  mutating func raiseEpoch(for purpose: Purpose) {
    epoch = max(nextEpoch(for: purpose), permission.epoch(for: purpose, now: now) ?? 0)
    permission.void()
  }

  /// Takes the answer to a question. An answer that does not count any more changes nothing.
  mutating func hear(_ answer: Answer, to number: UInt64) -> [Action] {
    guard let question = permission.answered(number) else { return [] }
    switch answer {
    case .granted(let epoch):
      standby?.isOutbid = false
      guard epoch >= nextEpoch(for: question.purpose) else { return [] }
      permission.give(
        question, epoch: epoch, until: now + configuration.asks.lead + 2 * configuration.interval)
      defer { if configuration.asks == .arbiter { permission.void() } }
      return decide()
    case .refused(let reason, let epoch, let isHeld):
      standby?.isOutbid = false
      permission.deny(question, until: now + configuration.askAgainAfter)
      let note = Action.note(.notPermitted(question.purpose, reason: reason))
      guard let epoch, epoch > self.epoch else { return [note] }
      return [note] + hear(ofEpoch: epoch, isHeld: isHeld, reason)
    case .unavailable(let reason):
      permission.deny(question, until: now + configuration.askAgainAfter)
      return [.note(.notPermitted(question.purpose, reason: reason))] + actByConsent(question.purpose)
    }
  }

  /// Another host has won that epoch, and may have been active in it.
  ///
  /// While the winner can still give the epoch back unused, a host that is not active does not learn it: its next heartbeat
  /// would end an active host to which nothing has happened.
  private mutating func hear(ofEpoch epoch: UInt64, isHeld: Bool, _ reason: String) -> [Action] {
    if case .active = state { return fence(reason) }
    standby?.isOutbid = isHeld
    guard !isHeld else { return [] }
    standby?.replica.learn(of: epoch)
    self.epoch = epoch
    // It asks again at once, as one that knows.
    permission.void()
    return decide()
  }

  /// The arbiter is away, but the other host is here and is not active: the two of them are enough.
  ///
  /// Nobody else would know of what they agree on. So the host has to hear from the other one when it must not be active, and
  /// its gate stays shut until it has a synced standby.
  private mutating func actByConsent(_ purpose: Purpose) -> [Action] {
    guard configuration.asks == .arbiter, let latest = peer.latest, peer.silence < peer.tolerance,
      now >= standstill.hearsLateUntil, latest.role == .starting || latest.role == .fenced
    else { return [] }
    switch state {
    case .standby(var standby):
      guard standby.isHeir || isActiveSilent else { return [] }
      // The arbiter did not say what has become of the ledgers' epoch. The other host does, if it was in a later one.
      if standby.isOutbid { standby.replica.discard() }
      standby.replica.learn(of: latest.epoch)
      self.standby = standby
      guard standby.replica.isComplete || configuration.mayExpose else { return [] }
      return takeOver(as: standby, standby.isHeir ? .handover : .peerSilent, isMute: true)
    case .starting, .fenced:
      guard isPreferred(to: latest) else { return [] }
      return becomeActive("both hosts are here, and this one is to be active", isMute: true)
    case .active: return []
    }
  }

  /// The permission to speak without a standby has ended. The gate shuts at once.
  mutating func endPermission() -> [Action] {
    guard configuration.asks == .arbiter, let active else { return [] }
    switch active.phase {
    case .waiting, .syncing(isEnding: true), .synced: return []
    case .syncing(isEnding: false):
      enter(.syncing(isEnding: true))
      return [.holdGate]
    case .exposed(let exposed):
      let since = now - min(now, configuration.patience)
      enter(.waiting(Waiting(since: since, standbyHasLeft: exposed.standbyHasLeft)))
      return [.holdGate, .setReplication(.waiting), .sendHeartbeat] + exposeIfDue()
    }
  }

  /// The cluster manager lets this host act alone. It waits for nobody, but pushes nobody aside either: an active host that
  /// is heard stays.
  mutating func promote() -> [Action] {
    permission.void()
    switch state {
    case .starting: state = .starting(Starting(heldSince: now - min(now, configuration.startHold)))
    case .fenced: state = .fenced(Fenced())
    case .standby, .active: break
    }
    let isOtherActive = peer.latest?.role == .active && !isActiveSilent
    return isOtherActive ? [] : decide()
  }
}
