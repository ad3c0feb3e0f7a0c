internal import DaemonSupport
internal import CLinux
internal import ControlAPI
internal import Glibc
internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import SystemCalls
internal import TCPModel

/// The daemon: all pairs of one host and the control socket, on one loop.
public final class Daemon {
  private let configuration: Configuration
  private let inForce: ConfigurationInForce
  private let record: RuntimeRecord
  private let orphans: [Orphans]
  private let logger: Logger
  private let loop: EventLoop
  private let tableKeeper: TableKeeper
  private let desk: AdoptionDesk
  private let control: ControlListener
  private let pairs: [Pair]
  private let manager: ServiceManager
  private let watch: HolderWatch
  private let kept: RestartStore.Kept?
  private let keep: SocketKeep?
  private var isEnding = false
  private var signals: [SignalSource] = []

  /// Builds everything; nothing has changed in the kernel, and no packet has left.
  /// - Parameter kept: what the daemon before this one has left to go on with.
  init(_ inForce: ConfigurationInForce, kept: RestartStore.Kept?, logger: Logger) throws {
    let configuration = inForce.configuration
    self.configuration = configuration
    self.inForce = inForce
    record = RuntimeRecord(inForce, logger: logger)
    self.logger = logger
    self.kept = kept
    loop = try EventLoop()
    manager = ServiceManager()
    try ResourceLimits.raiseDescriptors()
    let desk = try AdoptionDesk(loop: loop)
    self.desk = desk
    let rules = configuration.pairs.indices.map { TableRules(pair: $0, of: configuration) }
    tableKeeper = try TableKeeper(rules, owned: configuration.node.ownedTable, loop: loop, logger: logger)
    let addresses = try AddressManager()
    let announcer = try Announcer()
    let feed = try AddressFeed(configuration.pairs, loop: loop)
    let instance = UInt64.random(in: 1 ... .max)
    var pairs: [Pair] = []
    for (index, pair) in configuration.pairs.enumerated() {
      pairs.append(
        try Pair(
          pair, node: configuration.node, instance: instance,
          queues: (rules[index].ingressQueue, rules[index].egressQueue),
          resuming: kept?.image.pair(pair.name), flows: tableKeeper.pairs[index], manager: addresses,
          announcer: announcer, addressFeed: feed,
          desk: desk,
          loop: loop, logger: logger))
    }
    self.pairs = pairs
    keep = SocketKeep.begin(instance: instance, loop: loop, logger: logger)
    for pair in pairs { pair.keep = keep }
    orphans = kept?.distribute(to: pairs) ?? []
    let events = EventFeed()
    for pair in pairs { pair.report(to: events) }
    let service = ControlService(
      configuration: configuration, problem: inForce.problem, pairs: pairs, desk: desk, events: events,
      packetTable: { [tableKeeper] in tableKeeper.status }, logger: logger)
    control = try ControlListener(configuration.node, service: service, loop: loop, logger: logger)
    desk.onUnclaimed = { connection in pairs.first { $0.connection(connection.id) != nil }?.unclaimed(connection) }
    watch = try HolderWatch(loop: loop, logger: logger) { pairs.flatMap { Array($0.table.all) } }
    watch.onGone = { gone in
      for pair in pairs {
        let mine = gone.filter { pair.connection($0.id) === $0 }
        if !mine.isEmpty { pair.applicationsGone(mine, policies: configuration) }
      }
    }
  }

  /// Runs until a signal ends it.
  /// - Returns: the exit status.
  public func run() throws -> Int32 {
    if configuration.node.hasMarkMask {
      logger.warning("mark_mask has no effect any more: packets are not marked; remove it from the configuration")
    }
    record.begin()
    try tableKeeper.begin()
    for orphans in orphans { orphans.end(logger: logger) }
    record.settle()
    for signal in [SIGTERM, SIGINT] {
      signals.append(
        try loop.addSignal(signal, priority: LoopPriority.control) { [weak self] in
          // To a service that is restarted nothing else happens.
          if signal == SIGTERM, ServiceManager.isPresent, ServiceJob.isRestart { self?.restart() } else { self?.stop() }
        })
    }
    signals.append(
      try loop.addSignal(SIGUSR2, priority: LoopPriority.control) { [weak self] in
        if ServiceManager.isPresent { self?.restartIfUsable() } else { self?.stop() }
      })
    try loop.enableWatchdog()
    for pair in pairs {
      pair.onStatusChange = { [weak self] in self?.tellStatus() }
      pair.onMoving = { [weak self] in
        if let self, isEnding { manager.extendTimeout(by: Self.stopExtension) }
      }
      pair.start()
    }
    // What was kept is here now, and out of date from here on.
    RestartStore.clear(kept)
    manager.ready()
    tellStatus()
    logger.event(.started, "started", metadata: ["node": "\(configuration.node.name)", "pairs": "\(pairs.count)"])
    let status = try loop.run()
    manager.stopping()
    return status
  }

  private func tellStatus() {
    let problem = inForce.problem.map { ["RUNS WITH THE LAST GOOD CONFIGURATION: \($0)"] } ?? []
    manager.status((problem + pairs.map(\.summary)).joined(separator: "; "))
  }

  /// s; several times as long as a move may make no progress.
  private static let stopExtension = 10

  private func stop() {
    guard !isEnding else { return }
    isEnding = true
    manager.stopping()
    logger.event(.stopping, "stopping")
    var waiting = pairs.count
    for pair in pairs {
      pair.stop { [weak self] in
        waiting -= 1
        guard waiting == 0, let self else { return }
        keep?.end()
        tableKeeper.remove()
        // The kernel drops what waits in a queue that nobody reads any more.
        for pair in pairs { pair.path.letPass() }
        record.end(holdsAddresses: pairs.contains { $0.holder.isHolding })
        loop.exit(0)
      }
    }
  }

  /// Starts again with what the configuration file says now. Not with a file that cannot be used: this daemon goes on.
  private func restartIfUsable() {
    do throws(ConfigurationError) { _ = try ConfigurationInForce(path: inForce.path) } catch {
      return logger.event(
        .configurationInvalid, level: .error, "does not restart: the configuration cannot be used",
        metadata: ["file": "\(inForce.path)", "error": "\(error)"])
    }
    restart()
  }

  /// Ends, and leaves the connections to the next daemon, which is about to start.
  private func restart() {
    guard !isEnding else { return }
    isEnding = true
    manager.stopping()
    logger.event(.stopping, "stopping, to start again")
    let staying = inForce.namesInFile ?? Set(pairs.map(\.name))
    let (kept, removed) = (pairs.filter { staying.contains($0.name) }, pairs.filter { !staying.contains($0.name) })
    // Those that stay are mute once they are ready: they need not wait for others to move.
    Self.gather(removed, { $0.moveAway(completion: $1) }) { left in
      Self.gather(kept, { $0.prepareRestart(completion: $1) }) { [weak self] ready in self?.leave(left + ready) }
    }
  }

  /// Has pairs get ready for the next daemon.
  /// - Parameter completion: called once, with those that leave connections to it.
  private static func gather(
    _ pairs: [Pair], _ prepare: (Pair, @escaping (Bool) -> Void) -> Void, completion: @escaping ([Pair]) -> Void
  ) {
    guard !pairs.isEmpty else { return completion([]) }
    var waiting = pairs.count
    var ready: [Pair] = []
    for pair in pairs {
      prepare(pair) { isReady in
        if isReady { ready.append(pair) }
        waiting -= 1
        if waiting == 0 { completion(ready) }
      }
    }
  }

  /// From here on nothing happens to the connections but what their applications do.
  private func leave(_ pairs: [Pair]) {
    keep?.end()
    guard !pairs.isEmpty else {
      tableKeeper.remove()
      return loop.exit(0)
    }
    // What has ended, or goes on without protection, passes.
    tableKeeper.settle()
    var image = RestartImage(moment: MonotonicClock.now)
    image.pairs = pairs.map(\.restartImage)
    // In the order of the image.
    let sockets = zip(pairs, image.pairs).flatMap { pair, image in
      image.connections.compactMap { $0.ledger }.compactMap { pair.connection($0.identity.id)?.socket.number }
    }
    do {
      try RestartStore.put(image, sockets: sockets)
      // The table stays: until the next daemon reads the queues, nothing leaves.
      for pair in pairs { pair.announceRestart() }
    } catch {
      logger.error(
        "cannot leave the connections to the next daemon: they go on without protection",
        metadata: ["error": "\(error)"])
      for pair in pairs { pair.end() }
      tableKeeper.remove()
    }
    loop.exit(0)
  }
}
