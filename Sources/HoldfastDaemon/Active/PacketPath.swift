internal import HostCore
internal import LinuxNetwork
internal import Logging
internal import Replication
internal import SystemCalls
internal import TCPModel

/// The way of a packet through the daemon: out of the kernel's queue, into the ledger and the replication stream, and back.
///
/// Ingress is accepted as soon as it is recorded; egress waits at the gate until the standby holds its record. `ingress` and
/// `egress` judge, `issue` tells the kernel, and each packet passes through one of the former and the latter once.
final class PacketPath {
  /// Judges every ingress packet while a takeover runs. What it holds it owes `accept` or, at the latest, `dropHeld`.
  typealias Interceptor = (_ packet: QueuedPacket, _ segment: Segment, _ flow: Flow) -> Verdict

  private let queue: PacketQueue
  private let ingressQueue: UInt16
  private let egressQueue: UInt16
  private let table: ConnectionTable
  private let feed: ReplicationFeed
  private let sampler: Sampler
  private let logger: Logger

  let leftovers: LeftoverFlows
  var interceptor: Interceptor?
  /// Makes the ledger of a doubted connection one that can be folded into, and says whether it is; the packet is else passed on
  /// unrecorded.
  var onDoubted: ((LiveConnection) -> Bool)?
  /// A packet of this connection has passed that was not recorded.
  var onUnrecorded: ((LiveConnection) -> Void)?

  /// Packets that are no TCP segment, or came cut off, and were dropped.
  private(set) var refused: UInt64 = 0
  /// Packets that the kernel is about to drop.
  private(set) var badChecksums: UInt64 = 0
  /// The batch at hand has a packet that waits for its record.
  private var hasRecordedEgress = false
  private var inbound = InboundVerdicts()
  var overruns: UInt64 { queue.overruns }

  init(
    ingressQueue: UInt16, egressQueue: UInt16, table: ConnectionTable, leftovers: LeftoverFlows, feed: ReplicationFeed,
    sampler: Sampler, logger: Logger
  ) throws(SystemCallError) {
    queue = try PacketQueue(queues: [ingressQueue, egressQueue])
    self.leftovers = leftovers
    self.ingressQueue = ingressQueue
    self.egressQueue = egressQueue
    self.table = table
    self.feed = feed
    self.sampler = sampler
    self.logger = logger
  }

  var descriptor: Int32 { queue.descriptor }

  /// Works off what waits, a bounded number of packets, and flushes what came of it.
  func process() {
    do {
      for _ in 0..<Self.batchesPerTurn {
        let count = try processBatch()
        // A batch that was not full has emptied the queue; what has come since wakes the loop.
        if count < PacketQueue.batch || feed.source.isCongested { break }
      }
    } catch {
      logger.error("packet queue failed", metadata: ["error": "\(error)"])
    }
    feed.source.outgoing.settle()
  }
  private static let batchesPerTurn = 4
  /// Bytes of input after which the application is asked how far it is, though nothing needs to be known yet. The question
  /// takes the socket's lock, and may wait for the application's read.
  private static let sampledInput = 1 << 18

  /// Works off everything that waits at this moment, however much: what a socket that has just been ended had sent.
  func drain() throws(SystemCallError) {
    for _ in 0..<Self.mostBatches where try processBatch() < PacketQueue.batch { break }
    feed.source.outgoing.settle()
  }
  /// More than the kernel's queues hold.
  private static let mostBatches = 1 << 12

  /// No packet comes any more: those that still wait go where they would.
  func letPass() { report { () throws(SystemCallError) in try drain() } }

  /// - Returns: how many packets there were.
  private func processBatch() throws(SystemCallError) -> Int {
    let now = MonotonicClock.now
    hasRecordedEgress = false
    let count = try queue.receive { packet in
      guard let segment = parse(packet) else { return drop(packet) }
      let isIngress = packet.queue == ingressQueue
      issue(isIngress ? ingress(packet, segment) : egress(packet, segment, now: now), on: packet, segment)
    }
    if let last = inbound.flush() { try queue.acceptAll(upTo: last, in: ingressQueue) }
    if hasRecordedEgress { feed.flush() } else { feed.flushSoon() }
    // The next batch overwrites the packets.
    feed.source.outgoing.settle()
    try releaseEgress()
    return count
  }

  /// The connections move to the other host: what has come for them while their sockets stood still is recorded and dropped. That
  /// host presents it to the restored sockets, and the peers' timers do not run out for it.
  func surrender() {
    report { () throws(SystemCallError) in
      for _ in 0..<Self.mostBatches where try surrenderBatch() < PacketQueue.batch { break }
    }
  }

  private func surrenderBatch() throws(SystemCallError) -> Int {
    try queue.receive { packet in
      defer { drop(packet) }
      guard packet.queue == ingressQueue, let segment = parse(packet) else { return }
      let flow = Flow(local: segment.destination, peer: segment.source)
      // The stream's last word has to fit behind it, at once.
      if let connection = table[flow], hasGoodChecksum(packet, segment),
        feed.source.outgoing.unsentCount < Self.mostSurrendered
      {
        let payload = segment.payload(in: packet.bytes)
        feed.source.record(.ingress(segment.header, payload), in: connection.ledger)
      }
    }
  }
  /// Bytes.
  private static let mostSurrendered = 1 << 18

  /// Lets go what the standby's latest acknowledgement, or an opened gate, permits.
  func releaseEgress() throws(SystemCallError) {
    if let last = feed.host.release(now: MonotonicClock.now) { try queue.acceptAll(upTo: last, in: egressQueue) }
  }

  /// Drops packets that wait to leave: this host may no longer send.
  func dropEgress(upTo last: UInt32) {
    report { () throws(SystemCallError) in try queue.dropAll(upTo: last, in: egressQueue) }
  }

  // MARK: Verdicts

  /// The one place where the kernel is told what becomes of a packet that was just read.
  @inline(__always)
  private func issue(_ verdict: Verdict, on packet: QueuedPacket, _ segment: Segment) {
    switch (verdict, packet.queue == ingressQueue) {
    case (.accept, true):
      if inbound.accept(packet.id) {
        tell { queue throws(SystemCallError) in try queue.accept(packet.id, in: packet.queue) }
      }
    case (.hold, true): inbound.hold(packet.id)
    case (.accept, false): feed.source.gate.hold(packet.id, until: 0)
    case (.hold, false):
      feed.source.hold(packet.id)
      hasRecordedEgress = true
    case (.drop, _): drop(packet)
    case (.replace(let acknowledgement), _):
      let copy = segment.copy(of: packet.bytes, acknowledging: acknowledgement)
      tell { queue throws(SystemCallError) in try queue.accept(packet.id, in: packet.queue, as: copy) }
    }
  }

  private func drop(_ packet: QueuedPacket) {
    tell { queue throws(SystemCallError) in try queue.drop(packet.id, in: packet.queue) }
  }

  /// Gives an ingress packet that an interceptor held to its socket.
  func accept(_ packet: UInt32) {
    if inbound.release(packet) { tell { queue throws(SystemCallError) in try queue.accept(packet, in: ingressQueue) } }
  }

  /// What an interceptor held, and gave to nobody, is dropped.
  func dropHeld() {
    for packet in inbound.releaseAll() {
      tell { queue throws(SystemCallError) in try queue.drop(packet, in: ingressQueue) }
    }
  }

  private func tell(_ call: (PacketQueue) throws(SystemCallError) -> Void) {
    report { () throws(SystemCallError) in try call(queue) }
  }

  // MARK: Packets that have come

  private func ingress(_ packet: QueuedPacket, _ segment: Segment) -> Verdict {
    let flow = Flow(local: segment.destination, peer: segment.source)
    if let interceptor { return interceptor(packet, segment, flow) }
    guard let connection = table[flow] else { return admitUnknown(segment, flow) }
    if connection.doubt != nil, !(onDoubted?(connection) ?? false) { return .accept }
    return admit(packet, segment, connection)
  }

  /// Writes an ingress packet of a connection whose socket stands into its ledger and the stream.
  @inline(__always)
  func admit(_ packet: QueuedPacket, _ segment: Segment, _ connection: LiveConnection) -> Verdict {
    guard hasGoodChecksum(packet, segment) else { return .accept }
    let payload = segment.payload(in: packet.bytes)
    if connection.ledger.hasNoRoom(for: segment.header, payload) { return .drop }
    if segment.header.flags.contains(.ack), connection.ledger.output.lacks(before: segment.header.acknowledgement) {
      noticeUnrecorded(connection, acknowledged: segment.header.acknowledgement)
    }
    feed.source.record(.ingress(segment.header, payload), in: connection.ledger, lending: true)
    if connection.isSettling { settle(connection) }
    if payload.count > 0 { sampler.inputArrived(connection) }
    guard let resending = connection.resending, segment.header.flags.contains(.ack),
      let substitute = resending.substitute(for: segment.header.acknowledgement)
    else { return .accept }
    return .replace(acknowledgement: substitute)
  }

  /// A packet of a flow that has no ledger.
  func admitUnknown(_ segment: Segment, _ flow: Flow) -> Verdict { passes(flow, segment.header) ? .accept : .drop }

  /// What the kernel will drop must not become true for a ledger.
  func hasGoodChecksum(_ packet: QueuedPacket, _ segment: Segment) -> Bool {
    if !packet.isChecksumUnverified || Checksum.isValid(segment, in: packet.bytes) { return true }
    badChecksums += 1
    return false
  }

  // MARK: Packets that would leave

  private func egress(_ packet: QueuedPacket, _ segment: Segment, now: UInt64) -> Verdict {
    let flow = Flow(local: segment.source, peer: segment.destination)
    guard let connection = table[flow] else { return passes(flow) ? .accept : .drop }
    if connection.doubt != nil, !(onDoubted?(connection) ?? false) { return .accept }
    let payload = segment.payload(in: packet.bytes)
    // What this packet says may follow from input that the application has read: the standby must not present that again. A
    // bare acknowledgement says nothing; before it, only enough is looked for to keep the queues short.
    if payload.count > 0 || segment.header.flags.contains(.fin)
      ? connection.ledger.input.mayHaveUnreported : connection.ledger.input.unreportedCount >= Self.sampledInput
    {
      sampler.sample(connection)
    }
    if payload.count > 0 || segment.header.flags.contains(.fin),
      connection.ledger.output.lacks(before: segment.header.sequence)
    {
      // What was dropped on the way here comes again. What the peer has acknowledged does not.
      guard connection.hasLostTrack else { return .drop }
      onUnrecorded?(connection)
      return .accept
    }
    if segment.header.flags.contains(.ack), connection.ledger.input.lacks(upTo: segment.header.acknowledgement) {
      recordUnseenInput(of: connection)
    }
    feed.source.record(.egress(segment.header, payload, at: now), in: connection.ledger, lending: true)
    if let resending = connection.resending { connection.resending = resending.advanced(to: segment.end) }
    if connection.isSettling { settle(connection) }
    return .hold
  }

  /// A ledger that was begun after a crash may be complete now, and goes to the standby. Packets that follow wait until it is there.
  @inline(never)
  func settle(_ connection: LiveConnection) {
    guard connection.ledger.gap == nil else { return }
    table.settle(connection)
    connection.baselinePosition = feed.source.register(connection.ledger, now: MonotonicClock.now)
  }

  /// Input that had arrived out of order when the connection was registered was in no baseline and comes in no packet. Now that
  /// the gap before it is filled it can be read from the socket, and is recorded as if its packet came now.
  private func recordUnseenInput(of connection: LiveConnection) {
    let ledger = connection.ledger
    guard let (start, bytes, isEnded) = (try? connection.peekInput()) ?? nil else { return }
    if ledger.identity.retention == .read {
      feed.source.record(.consumed(start), in: ledger)
    }
    let header = ledger.headerOfUnseenInput(at: start, isEnded: isEnded)
    bytes.withUnsafeBytes { payload in
      feed.source.record(.ingress(header, payload), in: ledger)
    }
  }

  /// Whether a packet passes that is of no connection here: on the active host its socket is being registered, or has just ended. On any
  /// other host nobody answers.
  /// - Parameter header: nil for one that leaves.
  private func passes(_ flow: Flow, _ header: SegmentHeader? = nil) -> Bool {
    guard feed.host.passage != .barred else { return false }
    guard leftovers.contains(flow) else { return true }
    // The peer begins anew: whatever used the flow before is over.
    guard let header, header.flags.contains(.syn), !header.flags.contains(.ack) else { return false }
    leftovers.remove(flow)
    return true
  }

  /// The peer acknowledges output that is in no ledger. If the socket has sent it, it passed beside the packet table.
  @inline(never)
  private func noticeUnrecorded(_ connection: LiveConnection, acknowledged: SequenceNumber) {
    guard connection.resending == nil, let sent = try? connection.kernelSent(), !acknowledged.isAfter(sent) else {
      return
    }
    onUnrecorded?(connection)
  }

  /// A packet that cannot be parsed, or came cut off, can never become part of a ledger: the kernel must not see it either.
  private func parse(_ packet: QueuedPacket) -> Segment? {
    if !packet.isTruncated, let segment = try? Segment.parse(packet.bytes) { return segment }
    refused += 1
    return nil
  }

  private func report(_ call: () throws(SystemCallError) -> Void) {
    do { try call() } catch { logger.error("packet verdict failed", metadata: ["error": "\(error)"]) }
  }
}
