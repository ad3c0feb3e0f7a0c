public import TCPModel

extension LedgerImage {
  /// The body of a baseline frame. `now` is the sender's CLOCK_MONOTONIC, ns: the timestamp clock crosses the wire as a value
  /// and its age, since the two hosts' clocks have nothing to do with each other.
  public func encoded(now: UInt64) -> [UInt8] {
    var writer = WireWriter()
    writer.number(identity.id)
    writer.text(identity.service)
    writer.flag(identity.key != nil)
    writer.text(identity.key ?? "")
    writer.number(identity.retention.rawValue)
    writer.number(consumed)
    writer.number(sent)
    writer.flag(state.isMapped)
    writer.endpoint(state.flow.local)
    writer.endpoint(state.flow.peer)
    writer.negotiated(state.negotiated)
    writer.sequence(state.sndUna)
    writer.sequence(state.sndNxt)
    writer.flag(state.finSent)
    writer.block(state.sendQueue)
    writer.sequence(state.copiedSeq)
    writer.sequence(state.rcvNxt)
    writer.flag(state.finReceived)
    writer.block(state.receiveQueue)
    writer.window(state.window)
    writer.number(state.timestamp.value)
    writer.number(now > state.timestamp.moment ? now - state.timestamp.moment : 0)
    writer.options(state.options)
    writer.number(peerTimestamp)
    writer.sequence(offeredEdge)
    writer.sequence(reportedConsumed)
    writer.flag(wasReset)
    writer.flag(sawUrgent)
    writer.flag(isBroken)
    writer.number(UInt32(candidates.count))
    for candidate in candidates {
      writer.sequence(candidate.sequence)
      writer.flag(candidate.fin)
      writer.block(candidate.bytes)
    }
    writer.checkpoints(checkpoints)
    return writer.bytes
  }

  /// - Parameter now: the receiver's CLOCK_MONOTONIC, ns.
  public init(baseline body: UnsafeRawBufferPointer, now: UInt64) throws(ProtocolError) {
    var reader = WireReader(body, of: .baseline)
    let id: UInt64 = try reader.number()
    let service = try reader.text()
    let hasKey = try reader.flag()
    let key = try reader.text()
    guard let retention = ConnectionIdentity.Retention(rawValue: try reader.number()) else {
      throw .malformed(.baseline)
    }
    let consumed = try reader.streamOffset()
    let sent: Int64 = try reader.number()
    let isMapped = try reader.flag()
    let flow = Flow(local: try reader.endpoint(), peer: try reader.endpoint())
    let negotiated = try reader.negotiated()
    let sndUna = try reader.sequence()
    let sndNxt = try reader.sequence()
    let finSent = try reader.flag()
    let sendQueue = try reader.block()
    let copiedSeq = try reader.sequence()
    let rcvNxt = try reader.sequence()
    let finReceived = try reader.flag()
    let receiveQueue = try reader.block()
    let window = try reader.window()
    let timestampValue: UInt32 = try reader.number()
    let timestampAge: UInt64 = try reader.number()
    let options = try reader.options(in: .baseline)
    let peerTimestamp: UInt32 = try reader.number()
    let offeredEdge = try reader.sequence()
    let reportedConsumed = try reader.sequence()
    let wasReset = try reader.flag()
    let sawUrgent = try reader.flag()
    let isBroken = try reader.flag()
    let candidateCount: UInt32 = try reader.number()
    guard candidateCount <= InputLedger.candidateLimit else { throw .malformed(.baseline) }
    var candidates: [Candidate] = []
    for _ in 0..<candidateCount {
      let sequence = try reader.sequence()
      let fin = try reader.flag()
      candidates.append(Candidate(sequence: sequence, bytes: try reader.block(), fin: fin))
    }
    let checkpoints = try reader.checkpoints()
    let state = ConnectionState(
      flow: flow, isMapped: isMapped, negotiated: negotiated, sndUna: sndUna, sndNxt: sndNxt, sendQueue: sendQueue,
      finSent: finSent, copiedSeq: copiedSeq, rcvNxt: rcvNxt, receiveQueue: receiveQueue, finReceived: finReceived,
      window: window,
      timestamp: TimestampClock(
        value: timestampValue, moment: now > timestampAge ? now - timestampAge : 0, unit: negotiated.timestampUnit),
      options: options)
    self.init(
      identity: ConnectionIdentity(id: id, service: service, key: hasKey ? key : nil, retention: retention),
      state: state, consumed: consumed, sent: sent, peerTimestamp: peerTimestamp, offeredEdge: offeredEdge,
      candidates: candidates, reportedConsumed: reportedConsumed, wasReset: wasReset, sawUrgent: sawUrgent,
      isBroken: isBroken, checkpoints: checkpoints)
    guard isConsistent else { throw .malformed(.baseline) }
  }

  /// The queues are as long as the sequence numbers say, and nothing is out of what TCP can mean: a ledger can go on from here
  /// without looking again.
  private var isConsistent: Bool {
    let inFlight = state.sndNxt.distance(from: state.sndUna)
    // A FIN that is acknowledged is no longer in flight.
    let output = inFlight == 0 ? 0 : inFlight - (state.finSent ? 1 : 0)
    let input = state.rcvNxt.distance(from: state.copiedSeq) - (state.finReceived ? 1 : 0)
    return state.sendQueue.count == output && (0...InputLedger.largestInput).contains(input)
      // Input that was never recorded is missing.
      && (isBroken ? state.receiveQueue.count <= input : state.receiveQueue.count == input)
      && Self.reach.contains(offeredEdge.distance(from: state.rcvNxt)) && areCandidatesConsistent
      && (-Int64(UInt32.max)...WireReader.offsets.upperBound).contains(sent)
  }

  /// Candidates lie where a window can be. Those with bytes come in order and do not touch each other: the first may go on where the
  /// input ends, and every other one is an island, of which a ledger keeps so many.
  private var areCandidatesConsistent: Bool {
    let inputEnd = state.finReceived ? -1 : 0
    // Where input is missing, what has arrived may lie among it.
    var end = isBroken ? Int.min : inputEnd - 1
    var islands = 0
    for candidate in candidates {
      let start = candidate.sequence.distance(from: state.rcvNxt)
      guard Self.reach.contains(start), Self.reach.contains(start + candidate.bytes.count) else { return false }
      guard !candidate.bytes.isEmpty else { continue }
      guard start > end else { return false }
      end = start + candidate.bytes.count
      if start != inputEnd { islands += 1 }
    }
    return islands <= Islands.limit
  }

  /// Distances from rcv_nxt that a window can have, and what one packet may carry beyond the window that it begins in.
  private static let reach = -InputLedger.largestInput...InputLedger.largestInput + 1 << 17
}

extension SocketOptions {
  /// The body of an options frame.
  public var encoded: [UInt8] {
    var writer = WireWriter()
    writer.options(self)
    return writer.bytes
  }

  public init(_ body: UnsafeRawBufferPointer) throws(ProtocolError) {
    var reader = WireReader(body, of: .options)
    self = try reader.options(in: .options)
  }
}

extension WireWriter {
  mutating func endpoint(_ endpoint: Endpoint) {
    block(endpoint.address.bytes)
    number(endpoint.port)
  }

  mutating func negotiated(_ options: NegotiatedOptions) {
    number(options.maximumSegmentSize)
    number(options.sendWindowScale)
    number(options.receiveWindowScale)
    flag(options.windowScaling)
    flag(options.selectiveAcknowledgements)
    number(options.timestampUnit.rawValue)
  }

  mutating func window(_ window: WindowState) {
    sequence(window.sendWindowUpdate)
    number(window.sendWindow)
    number(window.maximumWindow)
    number(window.receiveWindow)
    sequence(window.receiveWindowUpdate)
  }

  /// Ordered by name, so that equal options are equal bytes.
  mutating func options(_ options: SocketOptions) {
    text(options.congestionControl)
    number(UInt16(options.values.count))
    for (name, value) in options.values.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      number(name.rawValue)
      number(value)
    }
  }
}

extension WireReader {
  mutating func endpoint() throws(ProtocolError) -> Endpoint {
    guard let address = IPAddress(bytes: try block()) else { throw .malformed(.baseline) }
    return Endpoint(address: address, port: try number())
  }

  mutating func negotiated() throws(ProtocolError) -> NegotiatedOptions {
    let maximumSegmentSize: UInt16 = try number()
    let sendScale: UInt8 = try number()
    let receiveScale: UInt8 = try number()
    let windowScaling = try flag()
    let selective = try flag()
    // RFC 7323 section 2.3: a shift above 14 is impossible.
    guard sendScale <= 14, receiveScale <= 14, let unit = TimestampUnit(rawValue: try number()) else {
      throw .malformed(.baseline)
    }
    return NegotiatedOptions(
      maximumSegmentSize: maximumSegmentSize, sendWindowScale: sendScale, receiveWindowScale: receiveScale,
      windowScaling: windowScaling, selectiveAcknowledgements: selective, timestampUnit: unit)
  }

  mutating func window() throws(ProtocolError) -> WindowState {
    WindowState(
      sendWindowUpdate: try sequence(), sendWindow: try number(), maximumWindow: try number(),
      receiveWindow: try number(), receiveWindowUpdate: try sequence())
  }

  /// Options that a newer peer knows and we do not are skipped.
  mutating func options(in type: FrameType) throws(ProtocolError) -> SocketOptions {
    var options = SocketOptions(congestionControl: try text())
    for _ in 0..<(try number(UInt16.self)) {
      let name: UInt8 = try number()
      let value: Int32 = try number()
      if let name = SocketOptions.Name(rawValue: name) { options.values[name] = value }
    }
    return options
  }
}
