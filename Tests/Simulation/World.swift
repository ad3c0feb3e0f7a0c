import HostCore
import Modelling
import Pairing
import Replication
import TCPModel

/// Two hosts, a client, and the networks between them, in virtual time; one seed, one run.
public final class World {
  let scenario: Scenario
  var random: SeededGenerator
  private(set) var now: UInt64 = 1_000_000_000
  private var events = EventQueue()
  var outcome: Outcome
  private var log: [(time: UInt64, text: String)] = []

  /// What runs on each host; nil while it is down.
  var nodes: [Node?] = [nil, nil]
  private var starts: UInt64 = 0
  /// What is on each host's disk: the highest epoch that it knows.
  var epochs: [UInt64] = [0, 0]
  private var sessions = 0
  var connections: [UInt64: Connection] = [:]
  private var connectionCount: UInt64 = 0
  /// Whose announcement of the service address the client heard last.
  private(set) var holder: Node?

  /// Who is asked before a host acts alone.
  private(set) var arbiter: Arbiter?
  /// Who promotes hosts.
  private(set) var manager: Manager?

  /// Cut ways, by path (0 the replication link, 1 the LAN) and receiving host.
  var cuts: Set<[Int]> = []
  /// Hosts that nothing reaches from the client, nor the client from them. Heartbeats have a LAN of their own.
  var unreachable: Set<Int> = []
  /// Heartbeats lost in a row, by path and receiver.
  private var lost: [[Int]: Int] = [:]
  var hasFaults = true

  static let interval: UInt64 = 50_000_000
  static let deadAfter: UInt64 = 200_000_000
  static let exposeAfter: UInt64 = 500_000_000
  /// For how long the standby may owe acknowledgements, as the daemon has it.
  static let detachAfter: UInt64 = exposeAfter - 3 * interval

  public static func run(_ seed: UInt64, _ scenario: Scenario) -> Outcome {
    let world = World(seed, scenario)
    world.run()
    return world.outcome
  }

  init(_ seed: UInt64, _ scenario: Scenario) {
    self.scenario = scenario
    random = SeededGenerator(seed: seed)
    outcome = Outcome(seed: seed)
    if scenario.policy == .arbiter { arbiter = Arbiter(self) }
    if scenario.policy == .external { manager = Manager(self) }
  }

  var mayExpose: Bool { scenario.policy != .hold || scenario.sabotage == .exposedWithoutPermission }

  func configuration(of name: String) -> PairMachine.Configuration {
    PairMachine.Configuration(
      node: name, pair: "web", prefersActive: name == "alpha", paths: 2, interval: Self.interval,
      deadAfter: Self.deadAfter, exposeAfter: Self.exposeAfter, mayExpose: mayExpose,
      restartPatience: 2_000_000_000, asks: arbiter == nil && manager == nil ? .nobody : .arbiter,
      arbiterKnowsEpochs: arbiter != nil)
  }

  // MARK: Time

  func after(nanoseconds: UInt64, _ run: @escaping () -> Void) { events.add(at: now + nanoseconds, run) }
  func after(milliseconds: ClosedRange<Int>, _ run: @escaping () -> Void) {
    after(nanoseconds: UInt64(random.within(milliseconds)) * 1_000_000 + UInt64(random.below(1_000_000)), run)
  }

  private func run() {
    start(0)
    after(milliseconds: 0...300) { [self] in start(1) }
    after(milliseconds: 1...5) { [self] in actAsClient() }
    after(milliseconds: 2500...4000) { [self] in misbehave() }
    if scenario.crashes { after(milliseconds: 2500...6000) { [self] in crashSomebody() } }
    if scenario.linkFaults { after(milliseconds: 2500...6000) { [self] in cutSomebodyOff() } }
    manager?.start()
    while outcome.steps < scenario.steps, outcome.violation == nil { step() }
    if outcome.violation == nil { comeToRest() }
    if outcome.violation != nil { outcome.trace = log.suffix(150).map { "\(Self.text($0.time)) \($0.text)" } }
    // Nodes and closures hold each other.
    for node in nodes { node?.isDead = true }
    events = EventQueue()
  }

  func step() {
    guard let (time, run) = events.next() else { return }
    outcome.steps += 1
    now = time
    run()
  }

  func run(until time: UInt64) { while now < time, outcome.violation == nil { step() } }

  static func text(_ time: UInt64) -> String {
    let tenths = (time - 1_000_000_000) / 100_000
    return "\(tenths / 10).\(tenths % 10) ms"
  }

  func note(_ node: Node?, _ text: @autoclosure () -> String) {
    if log.count > 600 { log.removeFirst(300) }
    log.append((now, (node.map { "\($0.name)#\($0.instance) " } ?? "") + text()))
  }

  func violate(_ text: String) {
    guard outcome.violation == nil else { return }
    outcome.violation = text
    note(nil, "VIOLATION: \(text)")
  }

  // MARK: Hosts

  func start(_ host: Int) {
    guard nodes[host] == nil else { return }
    starts += 1
    let node = Node(self, host: host, instance: starts)
    nodes[host] = node
    note(node, "starts")
    node.start()
  }

  /// - Parameter hostDies: nobody is told; otherwise the daemon alone ends, and its host closes its sockets.
  func end(_ node: Node, hostDies: Bool) {
    guard nodes[node.host] === node else { return }
    note(node, hostDies ? "dies" : "ends")
    node.isDead = true
    nodes[node.host] = nil
    guard !hostDies else { return }
    for (end, session) in [(0, node.serverSession), (1, node.clientSession)] {
      if let session { close(end, of: session) }
    }
  }

  /// A daemon that ended with its connections kept starts again, on the same host.
  func resume(_ node: Node, afterCrash: Bool = false) {
    guard nodes[node.host] == nil else { return }
    starts += 1
    nodes[node.host] = node
    node.beginAgain(instance: starts)
    if afterCrash { node.surviveCrash() }
    note(node, "starts with its connections\(afterCrash ? ", which it has to survey" : "")")
    outcome.resumed += 1
    if afterCrash { outcome.survived += 1 }
    node.start()
  }

  /// A host announces the service address.
  func claim(_ node: Node) { holder = node }

  // MARK: Heartbeats

  func carry(_ heartbeat: Heartbeat, from node: Node) {
    let receiver = 1 - node.host
    for path in 0...1 {
      let way = [path, receiver]
      let isLost = cuts.contains(way) || (hasFaults && random.chance(12))
      // Without an arbiter that counts epochs, one path at least is as good as the configuration assumes.
      if isLost, !scenario.policy.needsAPath || path == 0 || lost[way, default: 0] < 2 {
        lost[way, default: 0] += 1
        continue
      }
      lost[way] = 0
      for _ in 0..<(hasFaults && random.chance(5) ? 2 : 1) {
        after(nanoseconds: UInt64(random.within(50...(random.chance(5) ? 30_000 : 2000))) * 1000) { [self] in
          guard let node = nodes[receiver] else { return }
          node.whenRunning(isHeartbeat: true) { [weak node] in node?.hear(heartbeat, on: path) }
        }
      }
    }
  }

  // MARK: The replication channel

  func connect(_ client: Node) {
    let host = 1 - client.host
    guard !cuts.contains([0, host]), !cuts.contains([0, client.host]), let server = nodes[host], !server.isPaused,
      server.machine.role == .active
    else { return }
    sessions += 1
    let session = Session(sessions, server: server, client: client)
    client.connected(session)
    note(client, "connects")
    after(nanoseconds: 300_000) { [weak server, self] in
      // It has ended meanwhile: nobody answers, and the client gives up.
      guard let server, !server.isDead else { return after(milliseconds: 1...500) { [self] in close(0, of: session) } }
      server.whenRunning { [weak server] in
        // Refused by one that is not active any more.
        guard let server, server.machine.role == .active, session.ends[0] === server else {
          return self.close(0, of: session)
        }
        server.accept(session)
      }
    }
  }

  func send(_ bytes: [UInt8], to end: Int, of session: Session) {
    session.queues[end].append(bytes)
    move(session, to: end)
  }

  private func move(_ session: Session, to end: Int) {
    guard !session.isMoving[end], !session.queues[end].isEmpty else { return }
    session.isMoving[end] = true
    after(nanoseconds: UInt64(random.within(50...(random.chance(10) ? 5000 : 400))) * 1000) { [self] in
      deliver(session, to: end)
    }
  }

  private func deliver(_ session: Session, to end: Int) {
    session.isMoving[end] = false
    guard let target = session.ends[end] else { return }
    guard !cuts.contains([0, target.host]) else {
      // TCP tries again and again.
      session.isMoving[end] = true
      return after(milliseconds: 20...60) { [self] in deliver(session, to: end) }
    }
    let bytes = session.queues[end].removeFirst()
    target.whenRunning { [weak target] in
      guard let target, session.ends[end] === target else { return }
      if bytes.isEmpty {
        end == 0 ? target.closeServer() : target.closeClient()
      } else {
        target.receive(bytes, at: end, of: session)
      }
    }
    move(session, to: end)
  }

  /// One end has closed: the other one hears of it, unless nothing reaches it.
  func close(_ end: Int, of session: Session) {
    guard session.ends[end] != nil else { return }
    session.ends[end] = nil
    send([], to: 1 - end, of: session)
  }

  // MARK: The client

  func open() {
    guard let node = holder, nodes[node.host] === node, !node.isPaused, node.machine.role == .active,
      !unreachable.contains(node.host)
    else { return }
    connectionCount += 1
    let connection = Connection(number: connectionCount, owner: node, &random)
    connections[connection.number] = connection
    note(node, "registers connection \(connection.number)")
    node.register(connection)
  }

  var living: [Connection] { connections.values.filter { !$0.isOver }.sorted { $0.number < $1.number } }

  private func actAsClient() {
    after(milliseconds: 2...15) { [self] in actAsClient() }
    let living = living
    // Its neighbour table notices when the address is elsewhere.
    if let former = holder, nodes[former.host] !== former || former.machine.role != .active {
      holder = nodes.compactMap { $0 }.first { $0.machine.role == .active } ?? holder
    }
    if living.count < 3 { return open() }
    if hasFaults, random.chance(1), let connection = living.randomElement(using: &random) {
      connections[connection.number] = nil
      connection.isOver = true
      for node in nodes { node?.release(connection.number) }
      return
    }
    if let connection = living.randomElement(using: &random) { transmit(connection) }
  }

  private func transmit(_ connection: Connection) {
    var position = connection.nxt
    var count = 0
    if connection.una < connection.nxt, random.chance(40) {
      position = connection.una
      count = min(connection.nxt - connection.una, random.within(1...200))
    } else if random.chance(70) {
      // A window of its own that is always within what the host offers.
      count = min(max(0, connection.una + 600 - connection.nxt), random.within(1...200))
      connection.nxt += count
    }
    let packet = Packet(
      connection: connection,
      header: SegmentHeader(
        sequence: connection.clientOrigin + position, acknowledgement: connection.hostOrigin + connection.rcvNxt,
        window: UInt16(Connection.window), flags: .ack),
      payload: connection.bytes(position..<position + count, toClient: false))
    overTheLAN { [self] in
      guard let node = holder, !unreachable.contains(node.host) else { return }
      node.whenRunning { [weak node] in node?.ingress(packet) }
    }
  }

  /// A host asks the client where it is; the client answers at once.
  func ask(_ connection: Connection, by node: Node) {
    guard !unreachable.contains(node.host) else { return }
    overTheLAN { [self] in
      guard !connection.isOver else { return }
      let answer = Packet(
        connection: connection,
        header: SegmentHeader(
          sequence: connection.clientOrigin + connection.nxt,
          acknowledgement: connection.hostOrigin + connection.rcvNxt,
          window: UInt16(Connection.window), flags: .ack),
        payload: [])
      overTheLAN { [self] in
        guard let node = holder, !unreachable.contains(node.host) else { return }
        node.whenRunning { [weak node] in node?.ingress(answer) }
      }
    }
  }

  func overTheLAN(_ arrive: @escaping () -> Void) {
    if hasFaults, random.chance(5) { return }
    for _ in 0..<(hasFaults && random.chance(3) ? 2 : 1) {
      after(nanoseconds: UInt64(random.within(100...(random.chance(10) ? 20_000 : 1500))) * 1000, arrive)
    }
  }

  /// A packet arrives at the client.
  func receive(_ packet: Packet) {
    let connection = packet.connection
    guard !connection.isOver else { return }
    // PAWS, RFC 7323 section 5.3.
    let stamp = packet.header.timestampValue
    if let latest = connection.latestStamp, Int32(bitPattern: stamp &- latest) < 0 { return transmit(connection) }
    let position = packet.header.sequence.distance(from: connection.hostOrigin)
    if position <= connection.rcvNxt { connection.latestStamp = stamp }
    let acknowledged = packet.header.acknowledgement.distance(from: connection.clientOrigin)
    connection.una = max(connection.una, min(acknowledged, connection.nxt))
    guard !packet.payload.isEmpty else { return }
    if !connection.fits(packet.payload, at: position, toClient: true) {
      violate("connection \(connection.number): the client got other bytes than were sent, at \(position)")
    }
    if position <= connection.rcvNxt, position + packet.payload.count > connection.rcvNxt {
      outcome.bytes += position + packet.payload.count - connection.rcvNxt
      connection.rcvNxt = position + packet.payload.count
    }
    if random.chance(50) { transmit(connection) }
  }
}
