internal import HostConfiguration
internal import HostCore
internal import LinuxNetwork
internal import Pairing
internal import Replication
internal import Logging
internal import SystemCalls
internal import TCPModel

/// What becomes of connections whose application is gone from this host.
extension Pair {
  /// Nobody holds these any more. While connections move, or others are still being restored, nothing is done about it: those that
  /// stay are found gone again.
  func applicationsGone(_ gone: [LiveConnection], policies: Configuration) {
    guard feed.host.isSteady else { return }
    var held: [LiveConnection] = []
    var returned: [LiveConnection] = []
    var moves = false
    for connection in gone {
      if connection.wasNotTaken, !connection.isProcessGone, !connection.isClosing {
        returned.append(connection)
        continue
      }
      connection.offer = nil
      let policy = policies.policy(of: connection.ledger.identity.service)
      guard connection.isProcessGone, !connection.isClosing, policy.onExit != .close else {
        active.endAsClosed(connection)
        continue
      }
      if policy.onExit == .failover, feed.source.phase == .synced, machine.mayHandOver { moves = true }
      connection.owner = nil
      held.append(connection)
    }
    takeBack(returned, policies: policies)
    guard !held.isEmpty else { return }
    logger.warning(
      "an application is gone; its connections wait for another",
      metadata: ["connections": "\(held.count)", "connection": "\(held[0].name)"])
    for connection in held { active.onEvent?(.orphaned, connection, "its application is gone") }
    if moves { handOver("an application is gone") } else { hold(held, policies: policies) }
  }

  /// A process did not get what was sent to it. Others may, or it may itself in a moment, for as long as they are offered.
  private func takeBack(_ connections: [LiveConnection], policies: Configuration) {
    guard let first = connections.first else { return }
    logger.warning(
      "a process did not take the connections that were sent to it; they are offered again (has it too many open files?)",
      metadata: [
        "connections": "\(connections.count)", "connection": "\(first.name)",
        "process": "\(first.owner?.process ?? 0)",
      ])
    for connection in connections {
      connection.owner = nil
      active.onEvent?(.orphaned, connection, "the process that it was sent to did not take it")
    }
    hold(connections, policies: policies)
  }

  /// Offers connections to other processes of their application. A socket from which more was read than the contract allows is built
  /// anew from its ledger first: reads must begin at `consumed` again.
  private func hold(_ connections: [LiveConnection], policies: Configuration) {
    var stale: [LiveConnection] = []
    for connection in connections {
      sampler.sample(connection)
      connection.ledger.continueElsewhere()
      connection.isOrphan = true
      let read = try? connection.sampleConsumed()
      if connection.ledger.gap?.losesInput ?? false {
        active.endAsClosed(connection)
      } else if read == connection.ledger.input.copiedSeq {
        if !connection.isSettling {
          connection.baselinePosition = feed.source.register(connection.ledger, now: MonotonicClock.now)
        }
        desk.offer(connection, patience: policies.policy(of: connection.ledger.identity.service).hold)
      } else if connection.ledger.obstacle == nil {
        stale.append(connection)
      } else {
        active.endAsClosed(connection)
      }
    }
    feed.flush()
    if !stale.isEmpty { rebuild(stale, policies: policies) }
  }

  /// A takeover of our own connections: the sockets end without a packet and come up again from their ledgers.
  private func rebuild(_ connections: [LiveConnection], policies: Configuration) {
    let begun = MonotonicClock.now
    do {
      var book = LedgerBook()
      for connection in connections { try active.withdraw(connection) }
      // What the old sockets have sent is in the queue by now, and belongs to the ledgers.
      try path.drain()
      for connection in connections { book.insert(connection.ledger) }
      let takeover = try Takeover(
        Restoration(of: book), path: path, table: table, flows: flows, sender: sender, loop: loop, begun: begun,
        logger: logger)
      self.takeover = takeover
      handle(.rebuilding)
      // Their flows stay in the packet table: while there is no socket the kernel would answer what comes with a reset.
      for connection in connections { table.remove(connection) }
      takeover.onRestored = { [weak self] connection in
        connection.isOrphan = true
        self?.restored(connection, patience: policies.policy(of: connection.ledger.identity.service).hold)
      }
      takeover.onComplete = { [weak self] in self?.rebuilt($0) }
      takeover.hold()
      takeover.start()
    } catch {
      logger.error("cannot go on with connections whose application is gone", metadata: ["error": "\(error)"])
    }
  }

  private func rebuilt(_ result: Takeover.Result) {
    takeover = nil
    handle(.takeoverEnded)
    reportLost(result.lost)
    for (ledger, _) in result.lost { feed.source.release(ledger.identity.id) }
    feed.flush()
  }

  /// ns.
  private static let secondPatience: UInt64 = 2_000_000_000

  /// Nobody came for a connection.
  func unclaimed(_ connection: LiveConnection) {
    guard ownsItsConnections else {
      // If it stays, it is offered for a little longer.
      connection.offer = nil
      return desk.offer(connection, patience: Self.secondPatience)
    }
    let wasServed = connection.offer?.isOrphan ?? connection.isOrphan
    logger.warning(
      wasServed
        ? "nobody came to go on with the connection; it ends"
        : "nobody adopted the connection in time; it is reset",
      metadata: ["connection": "\(connection.name)", "peer": "\(connection.ledger.flow.peer)"])
    if wasServed { active.endAsClosed(connection) } else { active.release(connection, how: .reset) }
  }

  /// An application is gone whose service goes on on the other host: the pair moves there.
  func handOver(_ reason: String) {
    logger.notice("handing over to the other host", metadata: ["reason": "\(reason)"])
    handle(.switchover)
  }
}
