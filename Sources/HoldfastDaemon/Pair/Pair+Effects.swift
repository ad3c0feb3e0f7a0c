internal import ControlAPI
internal import HostConfiguration
internal import HostCore
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import Replication
internal import SystemCalls
internal import TCPModel

/// What the core's effects come to on this host.
extension Pair {
  func handle(_ event: Host.Event) {
    feed.host.handle(event, now: MonotonicClock.now)
    perform()
  }

  /// Carries out what follows from what was reported. Where that was reported by an effect that is being carried out, the rest of
  /// what is to be done comes later.
  func perform() {
    let floor = feed.host.depth
    while let effect = feed.host.next(now: MonotonicClock.now, above: floor) { perform(effect) }
    packets?.setEnabled(feed.host.takesPackets)
    guard feed.host.reactions != settledReactions else { return }
    settledReactions = feed.host.reactions
    settlePermission()
    keep?.roleChanged(self)
    onStatusChange?()
  }

  private func perform(_ effect: Host.Effect) {
    switch effect {
    case .packetsMayGo: active.standbyMoved()
    case .flush: feed.flush()
    case .drop(let last): path.dropEgress(upTo: last)
    case .flowsChanged(let changed): changed.forEach(flowChanged)
    case .sendHeartbeat: sendHeartbeat()
    case .keepEpoch(let epoch): epochs.record(epoch)
    case .becomeActive, .takeOver, .becomeStandby, .startOver, .fence, .takeBack, .dropAddresses, .endLeftovers:
      changeRole(effect)
    case .standStill: standStill()
    case .goOn:
      active.resumeAll()
      logger.event(.switchover, level: .warning, "switchover failed: the connections go on here")
    case .recordLate: path.surrender()
    case .abandonConnections: active.abandonAll()
    case .unprotectConnections: active.unprotectAll()
    case .moving: onMoving?()
    case .handedOver:
      logger.event(.roleChanged, "handed over", metadata: ["role": "fenced", "epoch": "\(machine.epoch)"])
      leave()
    case .switchoverEnded(let isMoved): finishSwitchover(isMoved ? .success(()) : .failure(.notSynced(pair: name)))
    case .restartReady(let isKept): restartReady(isKept: isKept)
    case .closeStandby(let reason):
      logger.event(.peerLost, level: .warning, "standby lost", metadata: ["reason": "\(reason)"])
      server?.detach(reason)
      active.standbyMoved()
    case .follow: client?.follow()
    case .stopFollowing: client?.stop()
    case .leaveSource(let reason): client?.leave(reason)
    case .sayGoodbyeToSource: client?.sayGoodbye()
    case .following(let node, let epoch):
      logger.info("following", metadata: ["peer": "\(node)", "epoch": "\(epoch)"])
    case .sourceLost(let reason):
      logger.warning("lost the active host's stream", metadata: ["reason": "\(reason)"])
    case .replicationChanged(let phase):
      logger.event(
        .replicationChanged, level: phase == .synced || phase == .syncing ? .notice : .warning, "replication \(phase)",
        metadata: ["epoch": "\(machine.epoch)", "connections": "\(table.count)"])
      onEvent?(.replication, "\(phase)")
    case .ask(let question): ask(question)
    case .note(let note): report(note)
    }
  }

  private func changeRole(_ effect: Host.Effect) {
    switch effect {
    case .becomeActive(let epoch, let reason):
      onEvent?(.role, "active in epoch \(epoch): \(reason)")
      logger.event(.roleChanged, "active", metadata: ["role": "active", "epoch": "\(epoch)", "reason": "\(reason)"])
      finishSwitchover(.failure(.notSynced(pair: name)))
      active.epoch = epoch
      holder.take()
    case .takeOver(let decision, let plan):
      onEvent?(.role, "active in epoch \(decision.epoch), takes over: \(decision.reason)")
      takeOver(decision, plan)
    case .becomeStandby(let reason):
      onEvent?(.role, "standby: \(reason)")
      logger.event(.roleChanged, "standby", metadata: ["role": "standby", "reason": "\(reason)"])
      neighbourhood.forget()
    case .startOver(let reason):
      logger.event(
        .roleChanged, level: .warning, "starting: waits for the other host",
        metadata: ["role": "starting", "reason": "\(reason)"])
    case .fence(let reason):
      onEvent?(.role, "fenced: \(reason)")
      logger.event(
        .fenced, level: .error, "fenced: another host owns the connections",
        metadata: ["role": "fenced", "reason": "\(reason)"])
      takeover = nil
      path.interceptor = nil
      path.dropHeld()
    case .takeBack: takeBack()
    case .dropAddresses:
      dropWhatWaitsForNeighbours()
      holder.drop()
    case .endLeftovers: endLeftovers()
    default: break
    }
  }

  private func report(_ note: PairMachine.Note) {
    switch note {
    case .notPermitted(let purpose, let reason): notPermitted(purpose, reason)
    case .pathAlive: break  // `lookAtPaths` says so.
    case .movesToReachable(let node): movesToReachable(node)
    case .conflict(let node, let epoch):
      logger.event(
        .splitBrainDetected, level: .error, "the peer is active too, in an earlier epoch",
        metadata: ["peer": "\(node)", "epoch": "\(epoch)"])
    }
  }

  /// A flow may have a ledger on this standby, or none any more.
  private func flowChanged(_ flow: Flow) {
    if feed.host.leader.replica.ledgers[flow] != nil { neighbourhood.learn(flow.peer.address) }
    flows.changed(flow)
  }

  /// Goes on in the peer's place.
  private func takeOver(_ decision: PairMachine.Takeover, _ plan: Restoration) {
    let begun = MonotonicClock.now
    let ledgers = plan.ledgers
    logger.event(
      .takeoverStarted, level: .warning, "taking over",
      metadata: [
        "role": "active", "epoch": "\(decision.epoch)", "reason": "\(decision.reason)",
        "connections": "\(ledgers.count)",
        "detected_ms": "\(decision.silence.inMilliseconds)",
      ])
    active.epoch = decision.epoch
    do {
      let takeover = try Takeover(
        plan, path: path, table: table, flows: flows, sender: sender, loop: loop, begun: begun, logger: logger)
      self.takeover = takeover
      flows.settle()
      takeover.onRestored = { [weak self] connection in
        if let self { restored(connection, patience: adoptTimeout) }
      }
      takeover.onComplete = { [weak self] in self?.completed($0, decision) }
      takeover.hold()
      track(ledgers)
      neighbourhood.refresh()
      holder.take()
      holder.whenUsable { [weak takeover] in takeover?.start() }
    } catch {
      logger.event(.takeoverFailed, level: .critical, "takeover failed", metadata: ["error": "\(error)"])
      handle(.takeoverEnded)
      holder.take()
      for ledger in ledgers.all { flows.changed(ledger.flow) }
    }
  }

  /// Restoring the next connections, and the packets of those that stand, go before what an application is told.
  /// - Parameter patience: how long it waits for an application, ns.
  func restored(_ connection: LiveConnection, patience: UInt64) {
    connection.baselinePosition = feed.source.register(connection.ledger, now: MonotonicClock.now)
    unoffered.append((connection, patience))
    offering?.schedule()
  }

  /// Offers restored connections to applications, a few in one turn of the loop.
  func offerSome() {
    let some = unoffered.prefix(Self.offersPerTurn)
    unoffered.removeFirst(some.count)
    // Meanwhile a connection may have ended, or have been taken away.
    for (connection, patience) in some where table[connection.id] === connection {
      active.watch(connection)
      if connection.ledger.input.mayHaveUnreported { sampler.inputArrived(connection) }
      desk.offer(connection, patience: patience)
    }
    if !unoffered.isEmpty { offering?.schedule() }
  }
  private static let offersPerTurn = 32

  /// One entry says what happened and how long it took.
  private func completed(_ result: Takeover.Result, _ decision: PairMachine.Takeover) {
    takeover = nil
    handle(.takeoverEnded)
    reportLost(result.lost)
    logger.event(
      .takeoverCompleted, "takeover complete",
      metadata: [
        "epoch": "\(decision.epoch)", "connections": "\(result.restored.count + result.lost.count)",
        "restored": "\(result.restored.count)", "lost": "\(result.lost.count)",
        "detected_ms": "\(decision.silence.inMilliseconds)", "claimed_ms": "\(result.timeline.claimed.inMilliseconds)",
        "probed_ms": "\(result.timeline.probed.inMilliseconds)",
        "restored_ms": "\(result.timeline.restored.inMilliseconds)",
        "released_ms": "\(result.timeline.released.inMilliseconds)",
      ])
  }

  func reportLost(_ lost: [(ledger: Ledger, reason: String)]) {
    for (ledger, reason) in lost {
      let name = LiveConnection.name(ofNumber: ledger.identity.id)
      logger.event(
        .connectionLost, level: .error, "connection lost",
        metadata: ["connection": "\(name)", "peer": "\(ledger.flow.peer)", "reason": "\(reason)"])
      onEvent?(.lost, "connection \(name) of \(ledger.flow.peer): \(reason)")
      if !ledger.wasReset { farewells?.add(ledger) }
    }
  }

  /// What is left of connections that another host owns now would be in the way when they come back.
  private func endLeftovers() {
    do {
      try LeftoverSockets.end(at: configuration.addresses.map(\.address))
      // Their last words go to the queue.
      try path.drain()
      leftovers.prune(to: [])
    } catch {
      logger.warning("cannot end old connections of the service", metadata: ["error": "\(error)"])
    }
  }

  /// The daemon ends. A standby that holds everything continues the connections, where the configuration says so; otherwise they
  /// go on here, unprotected.
  /// - Parameter completion: called when nothing is left to be done, after a few seconds at most.
  func stop(completion: @escaping () -> Void) {
    guard configuration.onStop == .switchover, machine.role == .active else {
      end()
      return completion()
    }
    onHandedOver = { [weak self] in
      self?.end()
      completion()
    }
    switchover { [weak self] result in
      // The other host need not be heard: this one is done as soon as it has let go.
      if case .failure = result { self?.leave() }
    }
  }

  /// A stop that waited for the connections to move goes on.
  func leave() {
    let onHandedOver = self.onHandedOver
    self.onHandedOver = nil
    onHandedOver?()
  }

  func end() {
    arbiter?.stop()
    handle(.end)
  }

  /// Before the address goes, lest the kernel tell the address's next host that its packets did not arrive (arp_error_report).
  func dropWhatWaitsForNeighbours() {
    neighbourhood.dropWhatWaits(for: Set(table.all.map(\.ledger.flow.peer.address)))
  }
}
