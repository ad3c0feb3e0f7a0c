import HostCore
import Pairing
import Replication
import TCPModel

/// What the core's effects come to in virtual time.
extension Node {
  func handle(_ event: Host.Event) {
    core.handle(event, now: now)
    perform()
  }

  /// As the daemon does.
  func perform() {
    let floor = core.depth
    if floor == 0 { wasComplete = replica.isComplete }
    while let effect = core.next(now: now, above: floor) { perform(effect) }
    settleTenure()
    // A host that stops being active has to be promoted again.
    if wasActive, machine.role != .active { isPromoted = false }
    wasActive = machine.role == .active
  }

  private func perform(_ effect: Host.Effect) {
    switch effect {
    case .keepEpoch(let epoch): world.epochs[host] = epoch
    case .becomeActive(let epoch, let reason):
      world.note(self, "active in epoch \(epoch): \(reason)")
      // One that is mute has not gone on yet.
      if machine.replication != .waiting, world.arbiter != nil || world.manager != nil { world.disown(by: self) }
      world.outlast(by: self)
      world.claim(self)
    case .takeOver(let takeover, let plan):
      world.note(self, "takes over: \(takeover)")
      takeOver(takeover, plan)
    case .becomeStandby(let reason): world.note(self, "standby: \(reason)")
    case .startOver(let reason): world.note(self, "starts over: \(reason)")
    case .fence(let reason):
      world.note(self, "fenced: \(reason)")
      world.outcome.fenced += 1
      if !isDemoted { world.checkFence(of: self) }
    case .standStill: standStill()
    case .goOn:
      let came = late
      late = []
      for packet in came { ingress(packet) }
    case .recordLate: recordLate()
    case .abandonConnections: abandonConnections()
    case .packetsMayGo:
      if source.gate.isOpen {
        hasGoneAlone = true
        world.reclaim(by: self)
      }
      letGo()
    case .drop: held = []
    case .flush: flush()
    case .closeStandby(let reason):
      world.note(self, "ends its standby's session: \(reason)")
      closeServer()
    case .follow:
      isFollowing = true
      follow()
    case .stopFollowing:
      isFollowing = false
      closeClient()
    case .leaveSource: closeClient()
    case .sayGoodbyeToSource: sayGoodbye()
    case .replicationChanged(let phase):
      world.note(self, "replication \(phase)")
      replicationChanged(phase)
    case .sendHeartbeat: sendHeartbeat()
    case .ask(let question):
      world.note(self, "asks: \(question)")
      ask(question)
    case .handedOver:
      world.note(self, "has handed over")
      endIfStopping()
    case .switchoverEnded: endIfStopping()
    case .restartReady(let isKept): leave(isKept: isKept)
    case .note(.movesToReachable): world.outcome.moved += 1
    // The kernel's addresses, and what others are told of.
    case .takeBack, .dropAddresses, .endLeftovers, .unprotectConnections, .flowsChanged, .following, .sourceLost,
      .moving, .note:
      break
    }
  }

  private func replicationChanged(_ phase: ReplicationPhase) {
    switch phase {
    case .exposed:
      world.outcome.exposures += 1
      if isToStandStill, !machine.isAlone {
        isToStandStill = false
        world.stand(self, for: 250...2500)
      }
    case .synced:
      hasGoneAlone = false
      world.reclaim(by: self)
    case .waiting, .syncing: break
    }
  }

  // MARK: Moving

  /// What the sockets have taken and have not told is recorded.
  private func standStill() {
    flush()
    for (id, socket) in sockets.sorted(by: { $0.key < $1.key }) {
      guard let connection = world.connections[id], let ledger = ledger(id) else { continue }
      sockets[id]?.isReadUnrecorded = false
      source.record(.consumed(connection.clientOrigin + socket.read), in: ledger)
    }
    world.after(milliseconds: 0...1) { [weak self] in self?.whenRunning { [weak self] in self?.handle(.stoodStill) } }
  }

  private func recordLate() {
    for packet in late {
      guard let ledger = ledger(packet.connection.number) else { continue }
      packet.payload.withUnsafeBytes { source.record(.ingress(packet.header, $0), in: ledger) }
    }
    late = []
  }

  /// Sockets end without a packet.
  private func abandonConnections() {
    sockets = [:]
    settling = [:]
    outlines = [:]
    late = []
    restoration = nil
    waiting = []
    book.removeAll()
  }

  // MARK: Ending

  /// A synced standby goes on; else everything ends here.
  func stop() {
    guard !isEnding, !isMute else { return }
    isEnding = true
    // What lacks something cannot move.
    let moves = core.isSteady && machine.replication == .synced && machine.mayHandOver && settling.isEmpty
    if moves { handle(.switchover) } else { endIfStopping() }
  }

  private func endIfStopping() {
    guard isEnding, !isDead else { return }
    isEnding = false
    core.handle(.end, now: now)
    perform()
    world.stopped(self)
  }
}
