internal import HostCore
internal import LinuxNetwork
internal import Logging
internal import Replication
internal import SystemCalls
internal import TCPModel

/// Continues the connections of a host that is gone: asks peers where they are, restores the sockets, and lets their packets in.
///
/// Each connection goes its own way. Until its socket stands, its packets wait in the kernel's queue; as soon as it does they go
/// in, whatever the others do. Packets of no known connection pass: the kernel answers them as it would any stranger's.
final class Takeover {
  /// What happened when, ns after the peer was declared dead; the journal's summary.
  struct Timeline {
    /// The addresses were here.
    var claimed: UInt64 = 0
    /// The last peer that was asked had answered, or was waited for no longer; 0 when no peer had to be asked.
    var probed: UInt64 = 0
    /// The last socket stood; 0 when none does.
    var restored: UInt64 = 0
    /// The last packet that had waited was let in, and none waits any more.
    var released: UInt64 = 0
  }

  struct Result {
    var restored: [LiveConnection] = []
    var lost: [(ledger: Ledger, reason: String)] = []
    var timeline = Timeline()
  }

  private let path: PacketPath
  private let table: ConnectionTable
  private let flows: PairFlows
  private let sender: RawSender
  private let logger: Logger
  private var timer: Timer?
  private let begun: UInt64

  private var plan: Restoration
  private var held: [Flow: [UInt32]] = [:]
  /// There are connections that need no answer and have had no turn yet.
  private var isBeginning = false
  private var result = Result()

  var onComplete: ((Result) -> Void)?
  var onRestored: ((LiveConnection) -> Void)?

  init(
    _ plan: Restoration, path: PacketPath, table: ConnectionTable,
    flows: PairFlows, sender: RawSender, loop: EventLoop, begun: UInt64, logger: Logger
  ) throws(SystemCallError) {
    self.plan = plan
    self.path = path
    self.table = table
    self.flows = flows
    self.sender = sender
    self.begun = begun
    self.logger = logger
    timer = try loop.addTimer(priority: LoopPriority.packets, description: "takeover") { [weak self] in self?.tick() }
  }

  /// Connections that are neither restored nor lost yet.
  var ledgers: LedgerBook { plan.ledgers }

  /// From here on packets of known connections are kept until their sockets stand.
  func hold() {
    path.interceptor = { [weak self] packet, segment, flow in self?.judge(packet, segment, flow) ?? .drop }
  }

  /// The addresses are up and announced. Nothing has been let in yet.
  func start() {
    let now = MonotonicClock.now
    result.timeline.claimed = now - begun
    isBeginning = true
    carryOut(plan.begin(now: now))
    isBeginning = false
    finishIfDone()
  }

  /// In order; the questions leave before sockets are built.
  private func carryOut(_ orders: [Restoration.Order]) {
    var hasAsked = false
    for order in orders {
      if case .ask(let ledger) = order {
        ask(ledger)
        hasAsked = true
        continue
      }
      if hasAsked { letQuestionsGo() }
      hasAsked = false
      carryOut(order)
    }
    if hasAsked { letQuestionsGo() }
    if let next = plan.nextLook { timer?.set(at: next) }
  }

  private func carryOut(_ order: Restoration.Order) {
    switch order {
    case .ask(let ledger): ask(ledger)
    case .restore(let ledger, let boundary, let wasAnswered):
      restore(ledger, sentBoundary: boundary, wasAnswered: wasAnswered)
    case .lose(let ledger, let reason): lose(ledger, reason)
    }
  }

  private func ask(_ ledger: Ledger) {
    do {
      try sender.send(SegmentBuilder.probe(for: ledger, now: MonotonicClock.now))
    } catch {
      logger.warning("cannot ask a peer where it is", metadata: ["peer": "\(ledger.flow.peer)", "error": "\(error)"])
    }
  }

  /// Our own packets come through the queue as any of their flows. They do not wait there until all sockets have been restored.
  private func letQuestionsGo() {
    do { try path.drain() } catch { logger.error("packet queue failed", metadata: ["error": "\(error)"]) }
  }

  private func tick() {
    let wasWaiting = plan.isWaiting
    let orders = plan.look(now: MonotonicClock.now)
    if wasWaiting { noteProbed() }
    carryOut(orders)
    finishIfDone()
  }

  /// An ingress packet while the takeover runs.
  private func judge(_ packet: QueuedPacket, _ segment: Segment, _ flow: Flow) -> Verdict {
    if let connection = table[flow] { return path.admit(packet, segment, connection) }
    guard let ledger = ledgers[flow] else { return path.admitUnknown(segment, flow) }
    guard path.hasGoodChecksum(packet, segment) else { return .accept }
    let payload = segment.payload(in: packet.bytes)
    if ledger.hasNoRoom(for: segment.header, payload) { return .drop }
    let order = plan.take(
      segment.header, payload, selective: segment.highestSelectiveAcknowledgement, of: ledger)
    guard let order else {
      held[flow, default: []].append(packet.id)
      return .hold
    }
    noteProbed()
    carryOut(order)
    finishIfDone()
    // Behind those that have waited: it meets the socket, or nothing, and the kernel answers.
    return .accept
  }

  private func noteProbed() {
    if !plan.isWaiting { result.timeline.probed = MonotonicClock.now - begun }
  }

  /// - Parameter wasAnswered: whether the peer has told its position.
  private func restore(_ ledger: Ledger, sentBoundary: SequenceNumber, wasAnswered: Bool) {
    do {
      ledger.continueElsewhere()
      let state = ledger.state
      // Only an ESTABLISHED socket asks when it leaves repair mode. The answer waits in the queue until this one stands.
      if !wasAnswered, state.finReceived != state.finSent {
        try sender.send(SegmentBuilder.probe(for: ledger, now: MonotonicClock.now))
      }
      let restored = try RestoredSocket.build(
        RestorePlan(state: state, sentBoundary: sentBoundary, probes: !wasAnswered))
      let socket = SharedDescriptor(try restored.leave(sender: sender))
      let connection = try LiveConnection(ledger: ledger, socket: socket, state: state, owner: nil)
      if sentBoundary.isAfter(state.sndUna) { connection.hasteEnds = MonotonicClock.now + RestoredSocket.longestHaste }
      connection.resending = Resending(sent: sentBoundary, end: state.sndNxt)
      table.insert(connection)
      // The peer need not find out by its timer that nobody has acknowledged it.
      for packet in SegmentBuilder.unacknowledgedInput(ledger.input.unproven, for: state) { try? sender.send(packet) }
      result.restored.append(connection)
      result.timeline.restored = MonotonicClock.now - begun
      onRestored?(connection)
      plan.settle(ledger)
      letIn(ledger.flow)
    } catch {
      lose(ledger, "\(error)")
    }
  }

  /// The packets that have waited for a connection go on to its socket, or to the kernel, which resets what has none.
  private func letIn(_ flow: Flow) {
    for packet in held.removeValue(forKey: flow) ?? [] { path.accept(packet) }
  }

  /// A connection that cannot go on is reset: a clean end beats a silent one.
  ///
  /// Where the ledger is old the peer is further than it says, and ignores a reset from before its window. So it is also asked where
  /// it is: whatever it answers meets no socket, and the kernel's reset for that has the peer's own number.
  private func lose(_ ledger: Ledger, _ reason: String) {
    result.lost.append((ledger, reason))
    plan.settle(ledger)
    // Whatever the peer answers meets no socket, and no queue.
    flows.changed(ledger.flow)
    defer { letIn(ledger.flow) }
    guard !ledger.wasReset else { return }
    do {
      try sender.send(SegmentBuilder.reset(for: ledger))
      try sender.send(SegmentBuilder.probe(for: ledger, now: MonotonicClock.now))
    } catch {
      logger.warning("cannot reset a connection", metadata: ["peer": "\(ledger.flow.peer)", "error": "\(error)"])
    }
  }

  private func finishIfDone() {
    guard !plan.isWaiting, !isBeginning, let onComplete else { return }
    self.onComplete = nil
    timer?.disarm()
    result.timeline.released = MonotonicClock.now - begun
    path.interceptor = nil
    onComplete(result)
  }
}
