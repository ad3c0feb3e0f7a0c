import Modelling
import Pairing
import Replication
import TCPModel

/// One start of one host's daemon, with the sockets of its kernel: everything that is lost when the host dies. It puts the pure
/// cores together as the daemon does.
final class Node {
  unowned let world: World
  let host: Int
  private(set) var instance: UInt64
  var machine: PairMachine
  var source = ReplicationSource(gateIsOpen: false)
  var book = LedgerBook()
  var sockets: [UInt64: HostSocket] = [:]
  /// Begun after a crash, and lacking something yet: no standby is told of them.
  var settling: [UInt64: Ledger] = [:]
  /// What is kept beside each socket.
  var outlines: [UInt64: LedgerImage] = [:]
  var replica = Replica()
  /// Packets at the gate, in order.
  var held: [(number: UInt32, packet: Packet)] = []
  var packetNumber: UInt32 = 0

  var serverSession: Session?
  var clientSession: Session?
  /// Whose stream the replica was last synced from.
  weak var replicaSource: Node?
  var replicaInstance: UInt64 = 0
  var clientStream = OutgoingStream()
  var acknowledged: UInt64 = 0
  var isFollowing = false

  /// The sockets stand still until the standby has everything to here.
  var handOverPosition: UInt64?
  /// Its packets are dropped, in and out: its daemon is about to end and to start again.
  var isMute = false

  /// Its gate has been open since its last standby was synced.
  var hasGoneAlone = false
  /// It has won an epoch and may use it, for all that others know.
  var hasWon = false
  /// What the arbiter has granted.
  var tenure: Tenure?
  /// The cluster manager lets it act alone.
  var isPromoted = false
  /// It has told it to stop at this moment.
  var isDemoted = false
  private var wasActive = false

  /// When its daemon ended.
  private var wasAlone = false
  private var standbyWaits: UInt64 = 0

  var isDead = false
  var isPaused = false
  /// When it next decides to go on alone, it stands still before it has said so.
  var isToStandStill = false
  /// What came while it was paused: heartbeats first, as the daemon's loop has it.
  var pausedHeartbeats: [() -> Void] = []
  var pausedRest: [() -> Void] = []
  private var heartbeatSequence: UInt64 = 0
  /// The peer's instance that was heard last, and whether its heartbeats may be from before this daemon's start.
  var heardInstance: UInt64 = 0
  var isPeerUnproven = false
  private var stalled: UInt64 = 0
  private var lastAcknowledged: UInt64 = 0
  private var lastTick: UInt64

  /// This host's clock: its own origin, and up to half a percent fast or slow.
  private let origin: UInt64
  private let drift: Int64

  static let names = ["alpha", "beta"]
  var name: String { Self.names[host] }
  var now: UInt64 {
    let time = Int64(world.now)
    return origin + UInt64(time + time / 1000 * drift)
  }

  init(_ world: World, host: Int, instance: UInt64) {
    self.world = world
    self.host = host
    self.instance = instance
    origin = UInt64(world.random.below(1 << 40))
    drift = Int64(world.random.within(-5...5))
    let time = Int64(world.now)
    let now = origin + UInt64(time + time / 1000 * drift)
    lastTick = now
    machine = PairMachine(
      world.configuration(of: Self.names[host]), instance: instance, epoch: world.epochs[host], now: now)
  }

  /// What is kept for the next daemon besides the sockets.
  func noteEnd(standbyWaits patience: UInt64 = 0) {
    wasAlone = machine.isAlone
    standbyWaits = patience == 0 ? 0 : now + patience / 10 * 9
  }

  private var behind: PairMachine.Behind { wasAlone ? .nobody : now < standbyWaits ? .patientStandby : .standby }

  /// Another daemon goes on where this one's machine ended.
  func renew(_ instance: UInt64) {
    self.instance = instance
    heartbeatSequence = 0
    stalled = 0
    lastTick = now
    // It has said that it does.
    if machine.replication == .exposed { hasGoneAlone = true }
    machine = PairMachine(
      world.configuration(of: name), instance: instance, resuming: machine.epoch,
      behind: world.scenario.sabotage == .heirForgotten ? .nobody : behind, now: now)
  }

  /// Runs now, or when the node runs again; never on a node that is gone.
  func whenRunning(isHeartbeat: Bool = false, _ run: @escaping () -> Void) {
    if isDead { return }
    guard isPaused else { return run() }
    // A socket's buffer has an end; what comes first stays.
    if isHeartbeat, pausedHeartbeats.count < 300 { pausedHeartbeats.append(run) }
    if !isHeartbeat, pausedRest.count < 2000 { pausedRest.append(run) }
  }

  // MARK: Time

  func start() {
    tickAgain()
    world.after(milliseconds: 1...20) { [weak self] in self?.actAgain() }
  }

  private func tickAgain() {
    guard !isDead else { return }
    if !isPaused { tick() }
    world.after(nanoseconds: World.interval) { [weak self] in self?.tickAgain() }
  }

  func tick() {
    let observed = min(now - lastTick, 2 * World.interval)
    lastTick = now
    let isMoving = source.acknowledged != lastAcknowledged || source.lag == 0
    lastAcknowledged = source.acknowledged
    stalled = isMoving || serverSession == nil ? 0 : stalled + observed
    if world.mayExpose, serverSession != nil, stalled >= World.detachAfter { closeServer() }
    watchLease()
    handle(.links(isReachable: !world.unreachable.contains(host)))
    handle(.tick)
    letGo()
    sendHeartbeat()
  }

  func resume() {
    isPaused = false
    let heartbeats = pausedHeartbeats
    let rest = pausedRest
    pausedHeartbeats = []
    pausedRest = []
    for run in heartbeats { run() }
    tick()
    for run in rest { whenRunning(run) }
  }

  // MARK: The machine

  func handle(_ event: PairMachine.Event) {
    let actions = machine.handle(event, now: now)
    world.epochs[host] = machine.epoch
    for action in actions {
      if case .setReplication(.exposed) = action, isToStandStill, !actions.contains(.openGate) {
        isToStandStill = false
        world.stand(self, for: 250...2500)
      }
      perform(action)
    }
    settleTenure()
    // A host that stops being active has to be promoted again.
    if wasActive, machine.role != .active { isPromoted = false }
    wasActive = machine.role == .active
  }

  private func perform(_ action: PairMachine.Action) {
    if case .note(.movesToReachable) = action { world.outcome.moved += 1 }
    if case .sendHeartbeat = action {} else if case .note = action {} else { world.note(self, "\(action)") }
    switch action {
    case .becomeActive:
      stopClient()
      replica.reset()
      // One that is mute has not gone on yet.
      if machine.replication != .waiting, world.arbiter != nil || world.manager != nil { world.disown(by: self) }
      world.outlast(by: self)
      world.claim(self)
    case .takeOver(let takeover): takeOver(takeover)
    case .becomeStandby:
      closeServer()
      isFollowing = true
      follow()
    case .startOver:
      stopClient()
      replica.reset()
    case .fence:
      world.outcome.fenced += 1
      if !isDemoted { world.checkFence(of: self) }
      handOverPosition = nil
      source.gate.close()
      letEverythingGo()
      closeServer()
    case .prepareHandOver:
      handOverPosition = source.outgoing.position
      flush()
      world.after(milliseconds: 0...1) { [weak self] in self?.whenRunning { [weak self] in self?.checkHandOver() } }
      world.after(milliseconds: 2000...2000) { [weak self] in
        self?.whenRunning { [weak self] in if self?.handOverPosition != nil { self?.handle(.handOverFailed) } }
      }
    case .cancelHandOver: handOverPosition = nil
    case .handOver:
      handOverPosition = nil
      source.gate.close()
      source.outgoing.append(.goodbye, body: [Goodbye.handover.rawValue])
      flush()
      letEverythingGo()
      closeServer()
    case .openGate:
      hasGoneAlone = true
      world.reclaim(by: self)
      source.gate.open()
      letGo()
    case .holdGate: source.gate.close()
    case .leaveSource: closeClient()
    case .detachStandby: closeServer()
    case .setReplication(let phase):
      if phase == .exposed { world.outcome.exposures += 1 }
      if phase == .synced {
        hasGoneAlone = false
        world.reclaim(by: self)
      }
    case .sendHeartbeat: sendHeartbeat()
    case .ask(let question): ask(question)
    case .note: break
    }
  }

  /// Sockets end without a packet, and what waits at the gate is dropped.
  private func letEverythingGo() {
    sockets = [:]
    settling = [:]
    outlines = [:]
    book.removeAll()
    held = []
    source.gate.forgetAll()
  }

  private func sendHeartbeat() {
    guard !isPaused else { return }
    heartbeatSequence += 1
    var heartbeat = machine.heartbeat(sequence: heartbeatSequence)
    heartbeat.echo = heardInstance
    world.carry(heartbeat, from: self)
  }

  func hear(_ heartbeat: Heartbeat, on path: Int) {
    var heartbeat = heartbeat
    heardInstance = heartbeat.instance
    // As `HeartbeatFilter` has it.
    if isPeerUnproven {
      guard heartbeat.echo == instance else { return handle(.rumour(heartbeat)) }
      isPeerUnproven = false
    }
    if world.scenario.sabotage == .epochNotCompared, machine.role == .active { heartbeat.epoch = 0 }
    handle(.heartbeat(path: path, heartbeat))
  }

  // MARK: The active host's end of the channel

  func accept(_ session: Session) {
    closeServer()
    serverSession = session
    stalled = 0
    source.attach(hello, connections: book.all.map(\.identity.id).sorted())
    handle(.channelUp)
    flush()
  }

  private var hello: Hello {
    Hello(
      node: name, pair: "web", instance: instance, epoch: machine.epoch, position: 0, supportsMicroseconds: true)
  }

  func flush() {
    guard let session = serverSession else { return }
    if source.pump(book, now: now) { handle(.syncEnding) }
    if source.outgoing.unsentCount > 0 { world.send(source.outgoing.takeAll(), to: 1, of: session) }
  }

  func closeServer() {
    guard let session = serverSession else { return }
    serverSession = nil
    world.close(0, of: session)
    source.detach()
    letGo()
    handle(.channelDown(silence: stalled))
  }

  // MARK: The standby's end

  func follow() {
    guard isFollowing, !isDead else { return }
    if clientSession == nil, !isPaused { world.connect(self) }
    world.after(milliseconds: 80...120) { [weak self] in
      if self?.clientSession == nil { self?.follow() }
    }
  }

  func connected(_ session: Session) {
    clientSession = session
    acknowledged = 0
    clientStream = OutgoingStream()
  }

  private func stopClient() {
    isFollowing = false
    closeClient()
  }

  func closeClient() {
    guard let session = clientSession else { return }
    clientSession = nil
    world.close(1, of: session)
    handle(.sourceLost)
    if isFollowing { follow() }
  }

  /// Says goodbye, in either role, and ends.
  func stop() {
    switch machine.role {
    case .active where machine.replication == .synced:
      source.gate.close()
      source.outgoing.append(.goodbye, body: [Goodbye.handover.rawValue])
      flush()
    case .standby:
      if let session = clientSession {
        clientStream.append(.goodbye, body: [Goodbye.leaving.rawValue])
        world.send(clientStream.takeAll(), to: 0, of: session)
      }
    default: break
    }
    world.end(self, hostDies: false)
  }

  // MARK: Frames

  func receive(_ bytes: [UInt8], at end: Int, of session: Session) {
    guard session === (end == 0 ? serverSession : clientSession) else { return }
    let box = session.incoming[end]
    if world.scenario.sabotage == .acknowledgeBeforeFold, end == 1, box.isGreeted {
      // It counts what has come and folds it when it has time.
      box.late.append(bytes)
      acknowledged += UInt64(bytes.count)
      clientStream.appendNumber(.acknowledge, acknowledged)
      world.send(clientStream.takeAll(), to: 0, of: session)
      world.after(milliseconds: 1...60) { [weak self] in
        guard let self, !box.late.isEmpty, clientSession === session else { return }
        whenRunning { [weak self] in self?.fold(box.late.removeFirst(), at: end, of: session, box) }
      }
      return
    }
    fold(bytes, at: end, of: session, box)
    if end == 1, clientSession === session, box.isGreeted, box.stream.position > acknowledged {
      acknowledged = box.stream.position
      clientStream.appendNumber(.acknowledge, acknowledged)
      world.send(clientStream.takeAll(), to: 0, of: session)
    }
    if end == 0, serverSession === session {
      letGo()
      flush()
      checkHandOver()
    }
  }

  private func checkHandOver() {
    if let position = handOverPosition, source.acknowledged >= position { handle(.handOverReady) }
  }

  private func fold(_ bytes: [UInt8], at end: Int, of session: Session, _ box: IncomingBox) {
    var rest = bytes[...]
    do {
      while !rest.isEmpty {
        let space = box.stream.space()
        let count = min(rest.count, space.count)
        space.copyBytes(from: rest.prefix(count))
        box.stream.commit(count)
        rest = rest.dropFirst(count)
        while let frame = try box.stream.next() {
          try end == 0 ? fromStandby(frame) : fromSource(frame, session, box)
          guard session === (end == 0 ? serverSession : clientSession) else { return }
        }
      }
    } catch {
      world.violate("\(name) cannot follow the channel: \(error)")
    }
  }

  private func fromStandby(_ frame: Frame) throws(ProtocolError) {
    if frame.type == FrameType.goodbye.rawValue {
      handle(.standbyLeft)
      closeServer()
    } else if try source.receive(frame) {
      handle(.standbySynced)
    }
  }

  private func fromSource(_ frame: Frame, _ session: Session, _ box: IncomingBox) throws(ProtocolError) {
    guard box.isGreeted else {
      let theirs = try Hello(frame)
      box.isGreeted = true
      box.stream.rebase(to: theirs.position)
      acknowledged = theirs.position
      replicaSource = session.server
      replicaInstance = theirs.instance
      return handle(.following(epoch: theirs.epoch, instance: theirs.instance))
    }
    switch try replica.fold(frame, now: now) {
    case .synced?: handle(.syncCompleted)
    case .goodbye(let kind)?: handle(kind == .handover ? .handedOver : .sourceLeft)
    case .recorded?, .known?, .forgotten?, .began?, nil: break
    }
  }

  // MARK: Takeover

  private func takeOver(_ takeover: PairMachine.Takeover) {
    world.outcome.takeovers += 1
    let wasComplete = replica.isComplete
    let ledgers = replica.takeLedgers()
    stopClient()
    let former = world.holder
    world.claim(self)
    world.check(takeover, by: self, ledgers, wasComplete: wasComplete, former: former)
    if !takeover.areLedgersUsable { world.outlast(by: self) }
    for ledger in ledgers.all.sorted(by: { $0.identity.id < $1.identity.id }) {
      guard let connection = world.connections[ledger.identity.id], !connection.isOver else { continue }
      guard takeover.areLedgersUsable, ledger.obstacle == nil else {
        world.reset(connection, by: self)
        continue
      }
      world.outcome.continued += 1
      restore(connection, ledger)
    }
  }

  private func restore(_ connection: Connection, _ ledger: Ledger) {
    let state = ledger.state
    connection.former = connection.owner
    connection.owner = self
    sockets[connection.number] = HostSocket(
      una: state.sndUna.distance(from: connection.hostOrigin), nxt: state.sndNxt.distance(from: connection.hostOrigin),
      rcvNxt: state.rcvNxt.distance(from: connection.clientOrigin),
      read: state.copiedSeq.distance(from: connection.clientOrigin),
      offeredEdge: ledger.offeredEdge.distance(from: connection.clientOrigin),
      clock: TimestampClock(
        value: world.scenario.sabotage == .timestampsNotCarriedOver
          ? UInt32(truncatingIfNeeded: now / 1_000_000) : state.timestamp.restored(at: now), moment: now,
        unit: .milliseconds))
    outlines[connection.number] = ledger.outline
    book.insert(ledger)
    _ = source.register(ledger, now: now)
  }

  func register(_ connection: Connection) {
    let ledger = Ledger(connection.baseline(now: now))
    sockets[connection.number] = HostSocket(
      una: 0, nxt: 0, rcvNxt: 0, read: 0, offeredEdge: Connection.window,
      clock: TimestampClock(value: connection.stamp, moment: now, unit: .milliseconds))
    outlines[connection.number] = ledger.outline
    book.insert(ledger)
    _ = source.register(ledger, now: now)
    flush()
  }

  func release(_ connection: UInt64) {
    sockets[connection] = nil
    settling[connection] = nil
    outlines[connection] = nil
    if book.remove(connection) != nil { source.release(connection) }
  }
}
