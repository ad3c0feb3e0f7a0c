/// What a standby does: it follows the active host and takes over.
extension PairMachine {
  /// A standby takes over when the active host is silent or has let go in its favour. A little earlier it asks whether it may.
  mutating func decide(as standby: Standby) -> [Action] {
    if standby.isHeir {
      return (configuration.asks == .arbiter ? permission(for: .takeOver) : nil) ?? takeOver(as: standby, .handover)
    }
    let mayTakeOver = configuration.mayExpose || standby.replica.isComplete
    guard isActiveSilent else {
      let isDying = peer.activeSilence + configuration.asks.lead >= peer.tolerance
      return isDying && mayTakeOver ? ask(.takeOver) : []
    }
    // An active host whose standby is not synced may be heard by its peers. One that is, is mute.
    guard mayTakeOver else { return startOver("the active host is silent, and this one was not synced") }
    return permission(for: .takeOver) ?? takeOver(as: standby, .peerSilent)
  }

  /// Takes an event of the session with the active host.
  mutating func react(to event: Event, as standby: Standby) -> [Action] {
    switch event {
    case .following(let epoch, let instance):
      let isPast = epoch < self.epoch
      self.standby?.replica.begin(epoch: epoch, instance: instance, isPast: isPast)
      // A takeover must be later than this, even if no heartbeat has said so.
      self.epoch = max(self.epoch, epoch)
    case .syncCompleted: self.standby?.replica.complete()
    case .sourceLeft: self.standby?.replica.discard()
    case .sourceLost:
      // A broken channel says nothing: the active host is mute until it says that it goes on alone.
      self.standby?.replica.endSession()
    case .handedOver:
      // Heartbeats overtake the stream. One of them has told that the active host has gone on since.
      guard standby.replica.isComplete else { return [] }
      // The word of the active host is permission enough, but not where the arbiter is to know of each epoch.
      guard configuration.asks == .arbiter || isWary else { return takeOver(as: standby, .handover) }
      self.standby?.isHeir = true
      return decide()
    default: break
    }
    return []
  }

  /// The standby goes on in the active host's place.
  /// - Parameter isMute: The gate stays shut until a standby is synced.
  mutating func takeOver(as standby: Standby, _ reason: TakeoverReason, isMute: Bool = false) -> [Action] {
    let silence = reason == .handover ? 0 : peer.activeSilence
    raiseEpoch(for: .takeOver)
    state = .active(Active(phase: isMute ? .waiting(Waiting(since: now)) : .exposed(Exposed())))
    return [
      .takeOver(
        Takeover(epoch: epoch, reason: reason, areLedgersUsable: standby.replica.isComplete, silence: silence)),
      isMute ? .holdGate : .openGate,
      .sendHeartbeat,
    ]
  }
}
