/// How a host that claims nothing gets a role. It has just started, or it was active and is fenced.
extension PairMachine {
  /// A starting host becomes active when it is permitted to and nobody was heard for a time who may be active.
  mutating func decide(as starting: Starting) -> [Action] {
    if let reason = reasonToBegin { return permission(for: .begin) ?? becomeActive(reason) }
    // Who must not act alone waits for the other one, however long.
    guard configuration.mayExpose, now - starting.heldSince >= configuration.startHold else { return [] }
    return permission(for: .begin)
      ?? becomeActive("no active peer was heard for \(configuration.startHold / 1_000_000) ms")
  }

  /// A fenced host begins again when the host that is active in its place is silent.
  mutating func decide(as fenced: Fenced) -> [Action] {
    guard isActiveSilent, now >= (fenced.handedOver ?? 0) + configuration.startHold else { return [] }
    let reason =
      fenced.handedOver == nil
      ? "the host that fenced this one is silent" : "the host that this one handed over to is silent"
    return configuration.mayExpose ? permission(for: .begin) ?? becomeActive(reason) : startOver(reason)
  }

  /// Why a starting host need not listen any longer where the arbiter knows of each epoch; nil when it must. The two hosts
  /// start together and agree which one is to be active.
  private var reasonToBegin: String? {
    guard configuration.asks == .arbiter, let latest = peer.latest, latest.role == .starting, isPreferred(to: latest),
      peer.silence < peer.tolerance
    else { return nil }
    return "both hosts start, and this one is to be active"
  }

  /// Whether this host is to be active rather than the sender, when both claim nothing. Where the configuration prefers
  /// neither or both, the lesser name decides.
  func isPreferred(to heartbeat: Heartbeat) -> Bool {
    let mine = configuration.prefersActive
    return mine != heartbeat.prefersActive ? mine : configuration.node < heartbeat.node
  }

  /// The host becomes active with nothing to continue.
  /// - Parameter isMute: The gate stays shut until a standby is synced.
  mutating func becomeActive(_ reason: String, isMute: Bool = false) -> [Action] {
    raiseEpoch(for: .begin)
    state = .active(
      isMute
        ? Active(phase: .waiting(Waiting(since: now)), claim: .agreed)
        : Active(phase: .exposed(Exposed())))
    return [.becomeActive(epoch: epoch, reason: reason), isMute ? .holdGate : .openGate, .sendHeartbeat]
  }

  /// The host follows an active one, which is in `epoch`.
  mutating func becomeStandby(_ reason: String, following epoch: UInt64) -> [Action] {
    self.epoch = max(self.epoch, epoch)
    permission.void()
    state = .standby(Standby())
    return [.becomeStandby(reason: reason), .sendHeartbeat]
  }

  /// Whatever this host was for the pair is over. It claims nothing, and listens as at its start.
  mutating func startOver(_ reason: String) -> [Action] {
    permission.void()
    state = .starting(Starting(heldSince: now))
    return [.startOver(reason: reason), .sendHeartbeat]
  }
}
