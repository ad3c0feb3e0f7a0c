internal import ControlAPI
internal import DaemonSupport
internal import Glibc
internal import HostConfiguration
internal import HostCore
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import Replication
internal import SystemCalls
internal import TCPModel

/// One pair on this host: the machine that decides, and everything that carries out what it decides.
final class Pair {
  let configuration: Configuration.Pair
  let loop: EventLoop
  let logger: Logger
  let desk: AdoptionDesk
  let flows: PairFlows
  let leftovers = LeftoverFlows()
  let doubts: Doubts
  let sender: RawSender

  var epochs: EpochFile
  let feed: ReplicationFeed
  var settledReactions: UInt64 = 0
  let table = ConnectionTable()
  let sampler: Sampler
  let optionWatch: OptionWatch
  let path: PacketPath
  let active: ActiveSide
  let holder: AddressHolder
  let neighbourhood: Neighbourhood
  let heartbeats: HeartbeatPaths
  var server: ReplicationServer?
  var client: ReplicationClient?
  var takeover: Takeover?
  /// Restored connections that are not offered to applications yet, and the work of doing it.
  var unoffered: [(connection: LiveConnection, patience: UInt64)] = []
  var offering: Deferred?

  private let node: String
  let security: ChannelSecurity
  /// How long restored connections wait for an application, ns.
  let adoptTimeout: UInt64
  private let instance: UInt64
  /// Who is asked before this host acts alone.
  let arbiter: (any Arbiter)?
  /// Why this host may not act alone, where it would.
  var denial: String?
  /// Who waits for this host to be active, because a cluster manager wants it.
  var promotions: [(Result<Void, ControlError>) -> Void] = []
  var promotionTimer: Timer?
  /// A daemon that crashed here may have left the addresses.
  var mayHaveLeftovers = true
  var packets: IOSource?
  var ticker: Timer?
  private var lastTick = MonotonicClock.now
  private var pathWatch: PathWatch
  /// Looks whether the sockets of left-over flows are gone.
  var pruning: Timer?
  /// Switchovers that wait for doubts to be cleared, and until when each does, ns.
  var waitingMoves: [(patience: UInt64, completion: (Result<Void, ControlError>) -> Void)] = []
  var moveTimer: Timer?
  /// As the journal has been told.
  var peerHasTable = true
  let conntrack: ConntrackTable
  /// Asks the peers of connections that could not be continued.
  var farewells: Farewells?
  /// Before this the host does not move the pair again because it cannot hold an address, ns.
  var nextMove: UInt64 = 0
  /// nil where the configuration does not want it.
  let links: LinkWatch?
  var linkJournal = LinkJournal()
  /// Why the pair moves by itself.
  var moveReason: String?
  var rejections = LogThrottle()
  /// Whoever asked for the switchover that is under way.
  var switchovers: [(Result<Void, ControlError>) -> Void] = []
  /// The daemon waits for the switchover before it ends.
  var onHandedOver: (() -> Void)?
  /// A move takes its time, and goes on.
  var onMoving: (() -> Void)?
  var peerName: String?
  /// The daemon waits for the last acknowledgements before it ends, to start again.
  var onRestartReady: ((Bool) -> Void)?
  /// Peers are asked again where they are.
  var questions: Timer?
  var questionInterval: UInt64 = 0
  /// Has what this host is active for kept for the next daemon, if this one crashes.
  var keep: SocketKeep? {
    didSet {
      table.onChange = { [weak self] connection in
        if let self { keep?.changed(connection.id, of: self) }
      }
    }
  }
  /// Tells those who monitor what has happened to the pair.
  var onEvent: ((EventKind, String) -> Void)?
  /// What the service manager shows may have changed.
  var onStatusChange: (() -> Void)?

  init(
    _ configuration: Configuration.Pair, node: Configuration.Node, instance: UInt64,
    queues: (ingress: UInt16, egress: UInt16), resuming image: RestartImage.Pair?, flows: PairFlows,
    manager: AddressManager,
    announcer: Announcer, addressFeed: AddressFeed,
    desk: AdoptionDesk,
    loop: EventLoop, logger: Logger
  ) throws {
    var logger = logger
    logger[metadataKey: "pair"] = "\(configuration.name)"
    self.configuration = configuration
    self.node = node.name
    adoptTimeout = node.adoptTimeout
    self.instance = instance
    self.flows = flows
    self.desk = desk
    self.loop = loop
    self.logger = logger
    epochs = EpochFile(
      pair: configuration.name, node: node.name, directory: getenv("STATE_DIRECTORY").map { String(cString: $0) },
      logger: logger)
    links = configuration.tracksLinks ? try LinkWatch(configuration) : nil
    let arbiter = try Self.arbiter(
      configuration, node: node.name, instance: instance, links: links, loop: loop, logger: logger)
    self.arbiter = arbiter
    let rulesOfMachine = PairMachine.Configuration(configuration, node: node.name, asks: arbiter?.asks ?? .nobody)
    // A later epoch that this host has heard of is the end of what it had.
    let known = epochs.epoch
    let image = image.flatMap { $0.epoch >= known ? $0 : nil }
    let atStart =
      if let image {
        PairMachine(
          rulesOfMachine, instance: instance, resuming: image.epoch,
          behind: image.behind(now: MonotonicClock.now), now: MonotonicClock.now)
      } else {
        PairMachine(rulesOfMachine, instance: instance, epoch: epochs.epoch, now: MonotonicClock.now)
      }
    pathWatch = PathWatch(paths: configuration.heartbeat.paths.count, deadAfter: configuration.heartbeat.deadAfter)
    feed = try ReplicationFeed(Host(atStart), loop: loop)
    sampler = try Sampler(feed: feed, loop: loop)
    optionWatch = try OptionWatch(table: table, feed: feed, loop: loop)
    path = try PacketPath(
      ingressQueue: queues.ingress, egressQueue: queues.egress, table: table, leftovers: leftovers, feed: feed,
      sampler: sampler, logger: logger)
    active = try ActiveSide(
      pair: configuration.name, table: table, feed: feed, path: path, sampler: sampler, flows: flows, desk: desk,
      loop: loop, logger: logger)
    doubts = try Doubts(pair: configuration.name, table: table, feed: feed, loop: loop, logger: logger)
    holder = try AddressHolder(
      configuration.addresses, manager: manager, announcer: announcer, feed: addressFeed,
      refresh: configuration.announceRefresh, peerSilence: configuration.heartbeat.deadAfter, loop: loop, logger: logger
    )
    neighbourhood = try Neighbourhood(loop: loop, logger: logger)
    security = try ChannelSecurity(configuration.replication)
    heartbeats = try HeartbeatPaths(
      configuration.heartbeat.paths, pair: configuration.name, instance: instance,
      seal: security.heartbeatSeal(pair: configuration.name), loop: loop)
    sender = try RawSender()
    conntrack = try ConntrackTable()
    farewells = try Farewells(sender: sender, loop: loop, logger: logger) { [weak self] flow in
      guard let self else { return true }
      return machine.role != .active || wants(flow)
    }
    try connect()
    connectTable()
  }

  /// Ties events to the machine.
  private func connect() throws {
    packets = try loop.addIO(
      path.descriptor, .readable, priority: LoopPriority.packets, description: "packets of \(name)"
    ) { [weak self] _ in self?.path.process() }
    holder.onCannotHold = { [weak self] in self?.cannotHold($0) }
    heartbeats.compose = { [unowned self] in machine.heartbeat(sequence: $0) }
    heartbeats.onHeartbeat = { [weak self] path, heartbeat in
      guard let self else { return }
      peerName = heartbeat.node
      withdrawLeftovers(heartbeat)
      handle(.heartbeat(path: path, heartbeat))
      holder.peerIsHeard(isActive: heartbeat.role == .active)
    }
    heartbeats.onRumour = { [weak self] heartbeat in self?.handle(.rumour(heartbeat)) }
    heartbeats.onRejected = { [weak self] path, reason in self?.rejected(path, reason) }
    let server = try ReplicationServer(
      listeningOn: configuration.replication.local, for: configuration.replication.peer.address, security: security,
      loop: loop, feed: feed, table: table,
      identity: ReplicationServer.Identity(
        hello: { [unowned self] in hello }, isSource: { [unowned self] in machine.role == .active }), logger: logger)
    server.onAttach = { [weak self] hello in self?.attached(hello) }
    server.onEffects = { [weak self] in self?.perform() }
    self.server = server
    let client = try ReplicationClient(
      local: configuration.replication.local.address, peer: configuration.replication.peer, security: security,
      loop: loop, feed: feed, hello: { [unowned self] in hello }, logger: logger)
    client.onEffects = { [weak self] in self?.perform() }
    self.client = client
    ticker = try loop.addTimer(priority: LoopPriority.heartbeat, description: "tick of \(name)") { [weak self] in
      self?.tick()
    }
    promotionTimer = try loop.addTimer(priority: LoopPriority.control, description: "promotion of \(name)") {
      [weak self] in self?.promotionTimedOut()
    }
    questions = try loop.addTimer(priority: LoopPriority.background, description: "questions of \(name)") {
      [weak self] in
      self?.askOnceMore()
    }
    moveTimer = try loop.addTimer(priority: LoopPriority.control, description: "moves of \(name)") { [weak self] in
      self?.tryMoves()
    }
    pruning = try loop.addTimer(priority: LoopPriority.background, description: "old flows of \(name)") {
      [weak self] in self?.pruneLeftovers()
    }
    offering = try loop.addDeferred(priority: LoopPriority.control, description: "offers of \(name)") { [weak self] in
      self?.offerSome()
    }
  }

  var name: String { configuration.name }

  var machine: PairMachine { _read { yield feed.host.machine } }

  private var hello: Hello {
    Hello(
      node: node, pair: name, instance: instance, epoch: machine.epoch, position: 0,
      supportsMicroseconds: KernelFeatures.microsecondTimestamps)
  }

  func start() {
    reportTrust()
    connectArbiter()
    arbiter?.start()
    epochs.record(machine.epoch)
    tick()
    catchUp()
  }

  // MARK: Events

  private func tick() {
    heartbeats.drainAll()
    let now = MonotonicClock.now
    // No more than was listened to.
    let observed = min(now - lastTick, 2 * configuration.heartbeat.interval)
    lastTick = now
    lookAtPaths(observed)
    lookAtLinks(observed)
    lookAtPeersTable()
    handle(.tick(observed: observed))
    ticker?.set(at: MonotonicClock.now + configuration.heartbeat.interval)
  }

  private func lookAtPaths(_ observed: UInt64) {
    let paths = configuration.heartbeat.paths
    for change in pathWatch.look(lastHeard: paths.indices.map { machine.lastHeard(path: $0) }, observed: observed) {
      switch change {
      case .arrives(let path):
        logger.event(.pathFound, level: .info, "heartbeats arrive", metadata: ["path": "\(paths[path].local)"])
      case .silent(let path, let silence):
        logger.event(
          .pathLost, level: .warning, "no heartbeats arrive",
          metadata: [
            "path": "\(paths[path].local)", "peer": "\(paths[path].peer)", "silent_ms": "\(silence / 1_000_000)",
          ])
      }
    }
  }

  func sendHeartbeat() { heartbeats.send() }

  private func attached(_ hello: Hello) {
    peerName = hello.node
    logger.event(.peerConnected, "standby connected", metadata: ["peer": "\(hello.node)"])
  }

  // MARK: What the control socket asks

  func serves(_ address: IPAddress) -> Bool { configuration.addresses.contains { $0.address == address } }

  func connection(_ id: UInt64) -> LiveConnection? { table[id] }

  func register(
    _ socket: SharedDescriptor, flow: Flow, service: String, key: String?, retention: Retention, owner: PeerCredentials,
    completion: @escaping (Result<Registrar.Outcome, ControlError>) -> Void
  ) {
    guard ownsItsConnections else {
      return completion(.failure(.notActive(pair: name)))
    }
    if let known = table[flow] { return completion(.failure(.alreadyRegistered(id: known.name))) }
    active.register(
      socket, flow: flow, service: service, key: key, retention: retention == .read ? .read : .confirm, owner: owner
    ) { result in
      completion(
        result.mapError { error in
          switch error {
          case .unsupported(let reason): .unsupportedSocket(reason: reason)
          case .system(let error): .unsupportedSocket(reason: "\(error)")
          case .table(let reason): .unsupportedSocket(reason: reason)
          }
        })
    }
  }

  func release(_ connection: LiveConnection, how: ReleaseMode) {
    switch how {
    case .keep: active.release(connection, how: .keep)
    case .close: active.release(connection, how: .close)
    case .reset: active.release(connection, how: .reset)
    }
  }
}
