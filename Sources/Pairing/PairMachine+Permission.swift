/// Asking before acting alone: before a host goes on in the other's place, goes on without a standby, or begins with nothing.
/// Each of them is a new epoch. Until the answer has come the host stays what it is: it claims no address and its gate is shut.
extension PairMachine {
  /// Packets may leave this host that no standby has confirmed, now or shortly.
  public var speaksAlone: Bool {
    role == .active && (replication == .exposed || (replication == .syncing && !isSyncEnding))
  }

  /// No active host was heard for so long that it counts as dead.
  public var isActiveSilent: Bool { peer.activeSilence >= peer.tolerance }

  /// The first epoch that is above all that this host knows, and above what the other one may have entered unheard.
  ///
  /// An active host whose standby is gone goes on alone in the next epoch, and may stand still before anybody has heard so. Who
  /// then acts in its place must not be in the same one: two steps outrank one.
  func nextEpoch(for purpose: Purpose) -> UInt64 {
    Epoch.after(max(epoch, peer.latest?.epoch ?? 0), by: purpose == .goAlone ? 1 : 2)
  }

  func isPreferred(to heartbeat: Heartbeat) -> Bool {
    let mine = configuration.prefersActive
    return mine != heartbeat.prefersActive ? mine : configuration.node < heartbeat.node
  }

  /// Where an arbiter is to know of each epoch: that the two hosts start and agree which one is to be active.
  var reasonToBegin: String? {
    guard configuration.asks == .arbiter, let latest = peer.latest, latest.role == .starting, isPreferred(to: latest),
      peer.silence < peer.tolerance
    else { return nil }
    return "both hosts start, and this one is to be active"
  }

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
    let known = max(epoch, peer.latest?.epoch ?? 0)
    return permission.ask(purpose, epoch: nextEpoch(for: purpose), known: known, now: now).map { [.ask($0)] } ?? []
  }

  /// Enters the next epoch, or the one that was granted.
  mutating func raiseEpoch(for purpose: Purpose) {
    epoch = max(nextEpoch(for: purpose), permission.epoch(for: purpose, now: now) ?? 0)
    permission.void()
  }

  mutating func hear(_ answer: Answer, to number: UInt64) -> [Action] {
    guard let question = permission.answered(number) else { return [] }
    if case .unavailable = answer {} else { isOutbid = false }
    switch answer {
    case .granted(let epoch):
      guard epoch >= nextEpoch(for: question.purpose) else { return [] }
      permission.give(
        question, epoch: epoch, until: now + configuration.asks.lead + 2 * configuration.interval)
      defer { if configuration.asks == .arbiter { permission.void() } }
      return decide()
    case .refused(let reason, let epoch, let isHeld):
      permission.deny(question, until: now + configuration.askAgainAfter)
      let note = Action.note(.notPermitted(question.purpose, reason: reason))
      guard let epoch, epoch > self.epoch else { return [note] }
      if role == .active { return [note] + fence(reason) }
      isOutbid = isHeld
      guard !isHeld else { return [note] }
      learn(of: epoch)
      // It asks again at once, as one that knows.
      permission.void()
      return [note] + decide()
    case .unavailable(let reason):
      permission.deny(question, until: now + configuration.askAgainAfter)
      return [.note(.notPermitted(question.purpose, reason: reason))] + actByConsent(question.purpose)
    }
  }

  /// The arbiter is away, but the other host is here and is not active: the two of them are enough. What this host must not be
  /// is heard without the other, for of that nobody else would know: its gate stays shut until it has a synced standby.
  private mutating func actByConsent(_ purpose: Purpose) -> [Action] {
    guard configuration.asks == .arbiter, let latest = peer.latest, peer.silence < peer.tolerance,
      now >= hearsLateUntil
    else { return [] }
    switch (role, latest.role) {
    case (.standby, .starting), (.standby, .fenced):
      guard isHeir || peer.activeSilence >= peer.tolerance else { return [] }
      // The arbiter did not say what has become of the ledgers' epoch. The other host does, if it was in a later one.
      if isOutbid { replica.discard() }
      replica.learn(of: latest.epoch)
      guard replica.isComplete || configuration.mayExpose else { return [] }
      return takeOver(isHeir ? .handover : .peerSilent, isMute: true)
    case (.starting, .starting), (.starting, .fenced), (.fenced, .starting), (.fenced, .fenced):
      guard isPreferred(to: latest) else { return [] }
      return becomeActive("both hosts are here, and this one is to be active", isMute: true)
    default: return []
    }
  }

  /// Another host has won that epoch, and may have been active in it. While it can still give it back unused this is not learned:
  /// what this host says of it would end an active host to which nothing has happened.
  private mutating func learn(of epoch: UInt64) {
    if role == .standby { replica.learn(of: epoch) }
    self.epoch = epoch
  }

  mutating func endPermission() -> [Action] {
    guard configuration.asks == .arbiter, speaksAlone else { return [] }
    opensAt = nil
    guard replication == .exposed else {
      isSyncEnding = true
      return [.holdGate]
    }
    replication = .waiting
    waitingSince = now - min(now, configuration.patience)
    return [.holdGate, .setReplication(.waiting), .sendHeartbeat] + exposeIfDue()
  }

  /// Nobody need be waited for, but nobody is pushed aside either: an active host that is heard stays.
  mutating func promote() -> [Action] {
    permission.void()
    heldSince = now - min(now, configuration.startHold)
    handedOver = nil
    let isOtherActive = peer.latest?.role == .active && !isActiveSilent
    return isOtherActive ? [] : decide()
  }

  /// The standby said that it stops. It will not take over, but the arbiter has to know before this host speaks alone.
  mutating func leftBehind() -> [Action] {
    let undo = cancelHandOver()
    if speaksAlone {
      replication = .exposed
      return undo + [.setReplication(.exposed), .sendHeartbeat]
    }
    standbyHasLeft = true
    replication = .waiting
    waitingSince = now
    return undo + [.setReplication(.waiting), .sendHeartbeat] + exposeIfDue()
  }
}

extension PairMachine.Configuration {
  /// Between a refusal and the next question, ns.
  var askAgainAfter: UInt64 { 4 * interval }
}
