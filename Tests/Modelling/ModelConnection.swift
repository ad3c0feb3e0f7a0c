public import TCPModel

/// One connection as two kernels see it, with a network between them that chops, loses, doubles and reorders. It knows the
/// truth, and tells what the queues of the protected host would have shown of it.
///
/// It is written from RFC 9293 and not from the ledger: it keeps whole streams and positions in them, no sequence numbers; those
/// are made where a header is.
public struct ModelConnection {
  /// What the daemon of the host sees, in the order in which it sees it.
  public enum Event: Sendable {
    case ingress(SegmentHeader, [UInt8])
    case egress(SegmentHeader, [UInt8])
    /// The application has read everything below.
    case consumed(SequenceNumber)
  }

  /// A segment on its way; positions count stream bytes, and the FIN takes the one after the last byte.
  struct Flight {
    var position: Int
    var payload: [UInt8]
    var fin: Bool
    var acknowledgement: Int
    /// As in the header: scaled down.
    var window: Int
    var stamp: UInt32
  }

  /// One of the two kernels.
  struct Kernel {
    /// What its application sends, over the whole run.
    let stream: [UInt8]
    var una = 0
    var nxt = 0
    /// Contiguous bytes received, and what lies above.
    var rcvNxt = 0
    var outOfOrder: Set<Int> = []
    var peerFin: Int?
    var read = 0
    let buffer: Int
    let windowShift: Int
    /// One past what it may send (its peer's right edge), and what last said so.
    var sendWindow: Int
    var sendWindowFrom = -1
    var largestWindow: Int
    /// One past what it has ever offered.
    var offeredEdge: Int
    var closes: Bool
    /// The highest acknowledgement and its window that left.
    var toldAcknowledgement = 0
    var toldWindow: Int

    init(_ stream: [UInt8], closes: Bool, shift: Int, buffer: Int) {
      self.stream = stream
      self.closes = closes
      self.buffer = buffer
      windowShift = shift
      sendWindow = buffer
      largestWindow = buffer
      offeredEdge = buffer
      toldWindow = buffer
    }

    /// Positions that exist: the bytes, and a FIN.
    var end: Int { stream.count + (closes ? 1 : 0) }
    var finIsIn: Bool { peerFin.map { rcvNxt > $0 } ?? false }
    var readable: Int { finIsIn ? rcvNxt - 1 : rcvNxt }
  }

  public let start: ConnectionState
  private var hostKernel: Kernel
  private var peerKernel: Kernel
  private let hostOrigin: SequenceNumber
  private let peerOrigin: SequenceNumber
  private var toHost: [Flight] = []
  private var toPeer: [Flight] = []
  private var random: SeededGenerator
  private var clock: UInt32
  private let shifts: (host: Int, peer: Int)

  public struct Shape: Sendable {
    public var input: Int
    public var output: Int
    public var inputCloses: Bool
    public var outputCloses: Bool
    /// Origins just below 2^32, so that both directions wrap.
    public var wraps: Bool
    public var buffer: Int
    public init(
      input: Int, output: Int, inputCloses: Bool = false, outputCloses: Bool = false, wraps: Bool = false,
      buffer: Int = 4000
    ) {
      self.input = input
      self.output = output
      self.inputCloses = inputCloses
      self.outputCloses = outputCloses
      self.wraps = wraps
      self.buffer = buffer
    }
  }

  public init(seed: UInt64, shape: Shape) {
    random = SeededGenerator(seed: seed)
    hostOrigin = SequenceNumber(
      shape.wraps ? UInt32.max - UInt32(shape.output / 2) : UInt32(truncatingIfNeeded: random.next()))
    peerOrigin = SequenceNumber(
      shape.wraps ? UInt32.max - UInt32(shape.input / 2) : UInt32(truncatingIfNeeded: random.next()))
    let shifts = (host: random.below(4), peer: random.below(4))
    self.shifts = shifts
    clock = shape.wraps ? UInt32.max - 50 : UInt32(truncatingIfNeeded: random.next())
    let buffer = shape.buffer & ~7
    hostKernel = Kernel(random.bytes(shape.output), closes: shape.outputCloses, shift: shifts.host, buffer: buffer)
    peerKernel = Kernel(random.bytes(shape.input), closes: shape.inputCloses, shift: shifts.peer, buffer: buffer)
    start = ConnectionState(
      flow: Flow(
        local: Endpoint(address: IPAddress(v4: 0x0a4d_0064), port: 80),
        peer: Endpoint(address: IPAddress(v4: 0x0a4d_0002), port: 40_000 + UInt16(seed % 20_000))),
      isMapped: false,
      negotiated: NegotiatedOptions(
        maximumSegmentSize: 1460, sendWindowScale: UInt8(shifts.peer), receiveWindowScale: UInt8(shifts.host),
        windowScaling: true, selectiveAcknowledgements: true, timestampUnit: .milliseconds),
      sndUna: hostOrigin, sndNxt: hostOrigin, sendQueue: [], finSent: false, copiedSeq: peerOrigin, rcvNxt: peerOrigin,
      receiveQueue: [], finReceived: false,
      window: WindowState(
        sendWindowUpdate: peerOrigin - 1, sendWindow: UInt32(buffer), maximumWindow: UInt32(buffer),
        receiveWindow: UInt32(buffer), receiveWindowUpdate: peerOrigin),
      timestamp: TimestampClock(value: clock, moment: 0, unit: .milliseconds), options: SocketOptions())
  }

  public var baseline: LedgerImage {
    LedgerImage(
      registering: start,
      as: ConnectionIdentity(id: UInt64(start.flow.peer.port), service: "model", key: nil, retention: .read), unsent: 0)
  }

  /// Both streams have arrived, are acknowledged and read.
  public var isDone: Bool {
    hostKernel.una == hostKernel.end && peerKernel.una == peerKernel.end
      && hostKernel.toldAcknowledgement == peerKernel.end
      && hostKernel.read == peerKernel.stream.count && peerKernel.read == hostKernel.stream.count
  }

  // MARK: Truth

  public var sndUna: SequenceNumber { hostOrigin + hostKernel.una }
  public var sndNxt: SequenceNumber { hostOrigin + hostKernel.nxt }
  /// The highest acknowledgement that left.
  public var told: SequenceNumber { peerOrigin + hostKernel.toldAcknowledgement }
  public var sendQueue: [UInt8] {
    let end = min(hostKernel.nxt, hostKernel.stream.count)
    return Array(hostKernel.stream[min(hostKernel.una, end)..<end])
  }
  public var finSent: Bool { hostKernel.nxt > hostKernel.stream.count }
  public var finTold: Bool { hostKernel.toldAcknowledgement > peerKernel.stream.count }
  /// What was told and not read.
  public var receiveQueue: [UInt8] {
    let end = min(hostKernel.toldAcknowledgement, peerKernel.stream.count)
    return Array(peerKernel.stream[min(hostKernel.read, end)..<end])
  }
  public var consumed: Int { min(hostKernel.read, min(hostKernel.toldAcknowledgement, peerKernel.stream.count)) }
  public var sent: Int { min(hostKernel.nxt, hostKernel.stream.count) }
  /// Right edge that the peer offers, as a window from snd_una.
  public var sendWindow: UInt32 { UInt32(hostKernel.sendWindow) }
  public var receiveWindow: UInt32 { UInt32(hostKernel.toldWindow) }

  // MARK: Steps

  /// One thing happens somewhere.
  public mutating func step() -> [Event] {
    clock &+= UInt32(random.below(3))
    switch random.below(12) {
    case 0, 1: return peerSends()
    case 2, 3, 4: return deliverToHost()
    case 5, 6: return hostSends()
    case 7, 8, 9: return deliverToPeer()
    case 10: return hostReads()
    default:
      let count = peerKernel.readable - peerKernel.read
      if count > 0 { peerKernel.read += random.within(1...count) }
      return []
    }
  }

  private mutating func peerSends() -> [Event] {
    toHost.append(Self.segment(from: &peerKernel, &random, stamp: clock))
    return []
  }

  private mutating func hostSends() -> [Event] { emit(Self.segment(from: &hostKernel, &random, stamp: clock)) }

  private mutating func hostReads() -> [Event] {
    let count = hostKernel.readable - hostKernel.read
    guard count > 0 else { return [] }
    hostKernel.read += random.within(1...count)
    return [.consumed(peerOrigin + hostKernel.read)]
  }

  private mutating func emit(_ flight: Flight) -> [Event] {
    toPeer.append(flight)
    return [.egress(header(flight, from: hostOrigin, to: peerOrigin), flight.payload)]
  }

  /// Something random that the sender may send: new bytes as far as the window goes, or any piece once more, chopped anywhere.
  private static func segment(from kernel: inout Kernel, _ random: inout SeededGenerator, stamp: UInt32) -> Flight {
    var position = kernel.nxt
    var limit = min(kernel.end, kernel.una + kernel.sendWindow)
    if kernel.una < kernel.nxt, random.chance(35) {
      position = random.chance(40) ? kernel.una : random.within(kernel.una...kernel.nxt - 1)
      limit = max(limit, kernel.nxt)
    }
    let end = max(position, min(limit, position + random.below(random.chance(30) ? 1400 : 200)))
    let fin = position <= kernel.stream.count && end > kernel.stream.count
    let payload = position < kernel.stream.count ? Array(kernel.stream[position..<min(end, kernel.stream.count)]) : []
    kernel.nxt = max(kernel.nxt, end)
    // An offer is never taken back; a remainder that the scale cannot express is rounded up.
    let room = (max(0, kernel.buffer - (kernel.rcvNxt - kernel.read)) >> kernel.windowShift) << kernel.windowShift
    let edge = max(kernel.offeredEdge, kernel.rcvNxt + room)
    let window = (edge - kernel.rcvNxt + (1 << kernel.windowShift) - 1) >> kernel.windowShift
    kernel.toldWindow = window << kernel.windowShift
    kernel.offeredEdge = kernel.rcvNxt + kernel.toldWindow
    kernel.toldAcknowledgement = kernel.rcvNxt
    return Flight(
      position: position, payload: payload, fin: fin, acknowledgement: kernel.rcvNxt, window: window, stamp: stamp)
  }

  private mutating func deliverToHost() -> [Event] {
    guard let flight = Self.take(&toHost, &random) else { return [] }
    let event = Event.ingress(header(flight, from: peerOrigin, to: hostOrigin), flight.payload)
    let mustAnswer = Self.receive(flight, by: &hostKernel, shift: shifts.peer)
    guard mustAnswer, random.chance(60) else { return [event] }
    return [event] + hostSends()
  }

  private mutating func deliverToPeer() -> [Event] {
    guard let flight = Self.take(&toPeer, &random) else { return [] }
    if Self.receive(flight, by: &peerKernel, shift: shifts.host), random.chance(60) { return peerSends() }
    return []
  }

  /// Mostly the oldest; sometimes any, sometimes it stays for a second delivery, sometimes it is lost.
  private static func take(_ wire: inout [Flight], _ random: inout SeededGenerator) -> Flight? {
    guard !wire.isEmpty else { return nil }
    // A network holds so much and no more.
    if wire.count > 30 { wire.removeFirst(wire.count - 30) }
    let index = random.chance(60) ? 0 : random.below(wire.count)
    if random.chance(15) { return wire[index] }
    let flight = wire.remove(at: index)
    return random.chance(10) ? nil : flight
  }

  /// - Returns: whether it brought something that is to be acknowledged.
  private static func receive(_ flight: Flight, by kernel: inout Kernel, shift: Int) -> Bool {
    let end = flight.position + flight.payload.count + (flight.fin ? 1 : 0)
    // RFC 9293 section 3.10.7.4: acceptable when it touches the window, judged by what was last told.
    guard end >= kernel.toldAcknowledgement, flight.position <= kernel.offeredEdge else { return true }
    // RFC 5961 section 5.2: an acknowledgement from more than a window ago makes a segment suspect.
    guard flight.acknowledgement >= kernel.una - kernel.largestWindow else { return true }
    if flight.acknowledgement >= kernel.una {
      let window = flight.window << shift
      if flight.acknowledgement > kernel.una || flight.position > kernel.sendWindowFrom
        || (flight.position == kernel.sendWindowFrom && (window > kernel.sendWindow || window == 0))
      {
        kernel.sendWindow = window
        kernel.sendWindowFrom = flight.position
        kernel.largestWindow = max(kernel.largestWindow, window)
      }
      kernel.una = flight.acknowledgement
    }
    guard end > flight.position else { return false }
    if flight.fin { kernel.peerFin = end - 1 }
    for position in flight.position..<end where position >= kernel.rcvNxt && position < kernel.offeredEdge + 1 {
      kernel.outOfOrder.insert(position)
    }
    while kernel.outOfOrder.remove(kernel.rcvNxt) != nil { kernel.rcvNxt += 1 }
    return true
  }

  private func header(_ flight: Flight, from own: SequenceNumber, to other: SequenceNumber) -> SegmentHeader {
    SegmentHeader(
      sequence: own + flight.position, acknowledgement: other + flight.acknowledgement,
      window: UInt16(clamping: flight.window), flags: flight.fin ? [.ack, .fin] : .ack, hasTimestamp: true,
      timestampValue: flight.stamp, timestampEcho: 0)
  }
}

extension Ledger {
  /// Folds what the model's host saw.
  public func fold(_ event: ModelConnection.Event, now: UInt64 = 0) {
    event.withRecord(at: now) { apply($0) }
  }
}

extension ModelConnection.Event {
  /// The event as both hosts' ledgers take it in.
  /// - Parameter now: CLOCK_MONOTONIC of the host that folds it, ns.
  public func withRecord(at now: UInt64, _ body: (Record) -> Void) {
    switch self {
    case .ingress(let header, let payload): payload.withUnsafeBytes { body(.ingress(header, $0)) }
    case .egress(let header, let payload): payload.withUnsafeBytes { body(.egress(header, $0, at: now)) }
    case .consumed(let sequence): body(.consumed(sequence))
    }
  }
}
