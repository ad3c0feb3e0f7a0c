internal import ControlAPI
internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import Replication
internal import SystemCalls
internal import TCPModel

extension Pair {
  /// Carries out what the machine decided, in order.
  func perform(_ actions: [PairMachine.Action]) {
    for action in actions { perform(action) }
  }

  private func perform(_ action: PairMachine.Action) {
    report(action)
    switch action {
    case .becomeActive(let epoch, let reason):
      logger.event(.roleChanged, "active", metadata: ["role": "active", "epoch": "\(epoch)", "reason": "\(reason)"])
      client?.stop()
      client?.forgetLedgers()
      finishSwitchover(.failure(.notSynced(pair: name)))
      active.epoch = epoch
      path.isOwner = true
      holder.take()
    case .takeOver(let decision): takeOver(decision)
    case .becomeStandby(let reason):
      logger.event(.roleChanged, "standby", metadata: ["role": "standby", "reason": "\(reason)"])
      becomeStandby()
    case .startOver(let reason):
      logger.event(
        .roleChanged, level: .warning, "starting: waits for the other host",
        metadata: ["role": "starting", "reason": "\(reason)"])
      client?.stop()
      client?.forgetLedgers()
    case .fence(let reason):
      logger.event(
        .fenced, level: .error, "fenced: another host owns the connections",
        metadata: ["role": "fenced", "reason": "\(reason)"])
      fence()
    case .openGate:
      feed.source.gate.open()
      renewSpeech()
      active.standbyMoved()
    case .holdGate: feed.source.gate.close()
    case .prepareHandOver: prepareHandOver()
    case .cancelHandOver: cancelHandOver()
    case .handOver: handOver()
    case .leaveSource(let reason): client?.leave(reason)
    case .detachStandby(let reason): server?.detach(reason)
    case .setReplication(let phase):
      logger.event(
        .replicationChanged, level: phase == .synced || phase == .syncing ? .notice : .warning, "replication \(phase)",
        metadata: ["epoch": "\(machine.epoch)", "connections": "\(table.count)"])
    case .sendHeartbeat: sendHeartbeat()
    case .ask(let question): ask(question)
    case .note(.notPermitted(let purpose, let reason)): notPermitted(purpose, reason)
    case .note(.pathAlive): break  // `lookAtPaths` says so.
    case .note(.movesToReachable(let node)): movesToReachable(node)
    case .note(.conflict(let node, let epoch)):
      logger.event(
        .splitBrainDetected, level: .error, "the peer is active too, in an earlier epoch",
        metadata: ["peer": "\(node)", "epoch": "\(epoch)"])
    }
  }

  private func report(_ action: PairMachine.Action) {
    switch action {
    case .becomeActive(let epoch, let reason): onEvent?(.role, "active in epoch \(epoch): \(reason)")
    case .takeOver(let decision): onEvent?(.role, "active in epoch \(decision.epoch), takes over: \(decision.reason)")
    case .becomeStandby(let reason): onEvent?(.role, "standby: \(reason)")
    case .fence(let reason): onEvent?(.role, "fenced: \(reason)")
    case .setReplication(let phase): onEvent?(.replication, "\(phase)")
    default: break
    }
  }

  /// Goes on in the peer's place.
  private func takeOver(_ decision: PairMachine.Takeover) {
    let begun = MonotonicClock.now
    let ledgers = client?.takeLedgers() ?? LedgerBook()
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
        of: ledgers, obstacle: decision.areLedgersUsable ? nil : "the ledgers are older than what the peer has seen",
        path: path, table: table, flows: flows, sender: sender, loop: loop, begun: begun, logger: logger)
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
      path.isOwner = true
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
    onStatusChange?()
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

  private func becomeStandby() {
    path.isOwner = false
    neighbourhood.forget()
    server?.detach("this host is standby")
    holder.drop()
    endLeftovers()
    client?.follow()
    finishSwitchover(.success(()))
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
    switch machine.role {
    case .active:
      // Nothing that a standby holds is current from here on.
      server?.sayGoodbye(.leaving)
      active.unprotectAll()
    case .standby: client?.sayGoodbye()
    case .starting, .fenced: break
    }
    arbiter?.stop()
    server?.detach("this host stops")
    client?.stop()
  }

  private func fence() {
    takeover = nil
    path.interceptor = nil
    // First nothing leaves, then nothing comes, then the sockets end without a packet.
    feed.source.gate.close()
    path.isOwner = false
    dropWhatWaitsForNeighbours()
    holder.drop()
    active.abandonAll()
    server?.detach("this host was fenced")
  }

  /// Before the address goes, lest the kernel tell the address's next host that its packets did not arrive (arp_error_report).
  func dropWhatWaitsForNeighbours() {
    neighbourhood.dropWhatWaits(for: Set(table.all.map(\.ledger.flow.peer.address)))
  }
}
