internal import HostConfiguration
internal import HostCore
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import Replication
internal import SystemCalls
internal import TCPModel

/// The packet table, as this pair needs it and as it bears on it.
extension Pair {
  /// ns.
  private static let pruneInterval: UInt64 = 5_000_000_000

  func connectTable() {
    flows.wants = { [unowned self] in wants($0) }
    flows.all = { [unowned self] in allFlows }
    flows.onFound = { [unowned self] found in
      // Sockets that nobody gave to this daemon.
      leftovers.add(found.filter { !wants($0) })
      pruneLeftovers()
    }
    flows.onTouched = { [unowned self] in touched($0) }
    flows.onForce = { [unowned self] in forceChanged() }
    leftovers.onChange = { [weak self] in self?.flows.changed($0) }
    table.onFlow = { [weak self] in self?.flows.changed($0) }
    path.onDoubted = { [weak self] in self?.doubts.clear($0) ?? false }
    path.onUnrecorded = { [weak self] in self?.unrecorded($0) }
    optionWatch.onUnrecorded = { [weak self] in self?.unrecorded($0) }
    optionWatch.isReading = { [weak self] in
      guard let self else { return false }
      return !feed.source.isCongested && !machine.isHandingOver
    }
    doubts.onBegun = { [weak self] in self?.askSoon() }
  }

  /// A flow's packets go to the queues while it has a connection, is to have one, or is left over; and on a standby, which holds
  /// them from the moment that the address is here.
  func wants(_ flow: Flow) -> Bool {
    table[flow] != nil || active.registrar.isRegistering(flow) || leftovers.contains(flow)
      || feed.host.leader.knows(flow) || takeover?.ledgers[flow] != nil
  }

  private var allFlows: Set<Flow> {
    var all = leftovers.all
    all.formUnion(table.all.map(\.ledger.flow))
    all.formUnion(active.registrar.flowsUnderWay)
    all.formUnion(feed.host.leader.flows)
    if let takeover { all.formUnion(takeover.ledgers.all.map(\.flow)) }
    return all
  }

  /// The flow of a socket that is gone must not be closed to a peer that uses its port again.
  func pruneLeftovers() {
    guard !leftovers.isEmpty else { return }
    do {
      leftovers.prune(to: try LeftoverSockets.flows(at: configuration.addresses.map(\.address)))
    } catch {
      logger.debug("cannot look for old connections", metadata: ["error": "\(error)"])
    }
    if !leftovers.isEmpty { pruning?.set(at: MonotonicClock.now + Self.pruneInterval) }
  }

  /// Somebody has changed the table, and it is back.
  /// - Returns: how many connections may have had packets that nobody recorded.
  private func touched(_ reason: String) -> Int {
    // What a standby holds is what the active host has recorded, whatever is in this host's table.
    guard machine.role == .active, table.count > 0 else { return 0 }
    if machine.isHandingOver { handle(.cannotMove) }
    guard machine.role == .active else { return 0 }
    return doubts.raiseAll(reason)
  }

  /// Some connection could not be continued by another host, and that will pass.
  var hasDoubts: Bool {
    table.all.contains { $0.doubt != nil || ($0.isSettling && $0.awaitsPeer) }
  }

  /// Has the kernel's connection tracking know connections that this host is about to continue, so that rules which ask for the
  /// state of a packet's connection treat their first packets as any others.
  func track(_ ledgers: LedgerBook) {
    guard ledgers.count > 0, conntrack.isInUse else { return }
    do {
      try conntrack.insert(ledgers.all.map(\.flow))
    } catch {
      logger.warning("cannot make entries of connection tracking", metadata: ["error": "\(error)"])
    }
  }

  /// The other host says whether its packet table is in force.
  func lookAtPeersTable() {
    guard machine.isPeerTableMissing == peerHasTable else { return }
    peerHasTable = !machine.isPeerTableMissing
    let peer = peerName ?? "the other host"
    logger.event(
      peerHasTable ? .peerTableInForce : .peerTableMissing, level: peerHasTable ? .notice : .warning,
      peerHasTable
        ? "the packet table of \(peer) is in force again"
        : "the packet table of \(peer) is not in force: that host cannot continue the connections",
      metadata: ["peer": "\(peer)"])
  }

  private func unrecorded(_ connection: LiveConnection) {
    guard machine.role == .active, connection.stopped == nil, connection.doubt == nil else { return }
    logger.warning(
      "a packet has passed unrecorded; the connection is unprotected until its ledger is true again",
      metadata: ["connection": "\(connection.name)", "peer": "\(connection.ledger.flow.peer)"])
    doubts.raise(one: connection, "a packet has passed unrecorded")
  }

  /// Whether the table is in force has changed.
  private func forceChanged() {
    handle(.table(isInForce: flows.problem == nil))
  }
}
