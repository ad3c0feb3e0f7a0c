/// What an active host does about its standby: one comes, is synced, is lost, or is done without.
extension PairMachine {
  /// Takes an event that concerns an active host alone.
  mutating func react(to event: Event, as active: Active) -> [Action] {
    switch event {
    case .channelUp: return beginSync(as: active)
    case .syncEnding:
      if case .syncing = active.phase { enter(.syncing(isEnding: true)) }
      return [.holdGate]
    case .standbySynced:
      enter(.synced)
      self.active?.claim = .firm
      return [.holdGate, .setReplication(.synced)]
    case .channelDown(let silence): return loseStandby(as: active, silence: silence)
    case .standbyLeft: return dismissStandby()
    case .demoted: return fence("the cluster manager has demoted this host")
    case .restart: return restart(as: active)
    case .switchover: return switchOver(as: active)
    case .handOverReady: return handOver(as: active)
    case .handOverFailed: return cancelHandOver()
    default: return []
    }
  }

  /// A standby has connected. The gate stays as it is until the sync ends, unless it was about to open.
  private mutating func beginSync(as active: Active) -> [Action] {
    permission.void()
    if case .resumed = active.claim { self.active?.claim = .resumed(.patientStandby) }
    if case .exposed(let exposed) = active.phase, exposed.opensAt == nil {
      enter(.syncing(isEnding: false))
    } else {
      enter(.syncing(isEnding: true))
    }
    return [.setReplication(.syncing)]
  }

  /// The channel to the standby is gone.
  private mutating func loseStandby(as active: Active, silence: UInt64) -> [Action] {
    switch active.phase {
    case .waiting, .exposed: return []
    case .syncing(isEnding: false):
      // The gate has been open all along: no standby counts itself synced.
      enter(.exposed(Exposed()))
      return [.setReplication(.exposed)]
    case .syncing(isEnding: true), .synced:
      enter(.waiting(Waiting(since: now - min(now, silence))))
      return cancelHandOver() + [.setReplication(.waiting), .sendHeartbeat] + exposeIfDue()
    }
  }

  /// The standby said that it stops. It will not take over, and nobody need wait for it.
  private mutating func dismissStandby() -> [Action] {
    guard configuration.mayExpose else { return cancelHandOver() }
    if configuration.asks == .arbiter { return askBeforeGoingOn() }
    epoch = Epoch.after(epoch)
    enter(.exposed(Exposed()))
    active?.claim = .firm
    return cancelHandOver() + [.setReplication(.exposed), .sendHeartbeat, .openGate]
  }

  /// Before a host without a standby speaks alone, the arbiter has to know.
  private mutating func askBeforeGoingOn() -> [Action] {
    let undo = cancelHandOver()
    guard let active, active.speaksAlone else {
      enter(.waiting(Waiting(since: now, standbyHasLeft: true)))
      return undo + [.setReplication(.waiting), .sendHeartbeat] + exposeIfDue()
    }
    if case .syncing = active.phase { enter(.exposed(Exposed())) }
    return undo + [.setReplication(.exposed), .sendHeartbeat]
  }

  /// An active host opens its gate when it is time, and stops waiting for a standby that is silent.
  mutating func decide(as active: Active) -> [Action] {
    switch active.phase {
    case .exposed(var exposed):
      guard let opensAt = exposed.opensAt, now >= opensAt else { return [] }
      exposed.opensAt = nil
      enter(.exposed(exposed))
      return [.openGate]
    case .waiting:
      // The other one may have gone on without this host, and clients that come here find a host that is mute.
      if active.claim == .agreed, peer.silence >= peer.tolerance {
        return fence("the host that agreed to this one's being active is silent")
      }
      return exposeIfDue()
    case .syncing, .synced:
      // Not a word over any path, and the gate may be shut: do not wait for the transport to notice.
      let limit = max(configuration.patience, configuration.deadAfter)
      guard configuration.mayExpose, peer.silence + configuration.asks.lead >= limit else { return [] }
      guard peer.silence >= limit else { return active.speaksAlone ? [] : ask(.goAlone) }
      enter(active.speaksAlone ? .exposed(Exposed()) : .waiting(Waiting(since: now - min(now, peer.silence))))
      return cancelHandOver() + [.detachStandby("the standby is silent on every path")] + exposeIfDue()
    }
  }

  /// A waiting host goes on alone when it has waited long enough and is permitted to.
  ///
  /// Going on alone is a new epoch: whatever a standby holds is of the past from the moment that the gate opens. The host
  /// says so before it opens the gate, so that a standby which takes over afterwards has heard it.
  mutating func exposeIfDue() -> [Action] {
    guard let active, case .waiting(let waiting) = active.phase else { return [] }
    if active.mayHaveSuccessor, configuration.asks != .arbiter || configuration.isManaged {
      return giveUpIfDue(waiting)
    }
    let patience = waiting.standbyHasLeft ? 0 : configuration.patience
    guard !isWary, configuration.mayExpose, now - waiting.since + configuration.asks.lead >= patience else { return [] }
    guard now - waiting.since >= patience else { return ask(.goAlone) }
    if let actions = permission(for: .goAlone) { return actions }
    raiseEpoch(for: .goAlone)
    let opensAt =
      waiting.standbyHasLeft ? nil : max(waiting.since + configuration.exposeAfter, now + configuration.announcing)
    enter(.exposed(Exposed(opensAt: opensAt, standbyHasLeft: waiting.standbyHasLeft)))
    self.active?.claim = .firm
    return [.setReplication(.exposed), .sendHeartbeat] + (opensAt == nil ? [.openGate] : [])
  }

  /// An active host lets go of everything, because another one is active or may be.
  mutating func fence(_ reason: String) -> [Action] {
    permission.void()
    state = .fenced(Fenced())
    return [.fence(reason), .sendHeartbeat]
  }
}
