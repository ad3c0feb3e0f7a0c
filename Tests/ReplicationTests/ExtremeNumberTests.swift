import Modelling
import Replication
import TCPModel
import Testing

/// A number from the other host may be any number. One that cannot be counted on with is refused, and none traps, neither
/// when it is read nor when what came of it is looked at and goes on.
@Suite struct ExtremeNumberTests {
  static let extremes: [UInt64] = [
    0, 1, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 62) + 1, 1 << 63, .max,
  ]

  /// A ledger's baseline, and every record, as frames.
  private static func messages() -> (baseline: [UInt8], records: [(FrameType, [UInt8])]) {
    let options = SocketOptions(values: [.noDelay: 1, .linger: -1], congestionControl: "bbr")
    var image = ModelConnection(seed: 7, shape: .init(input: 3000, output: 3000, inputCloses: true)).baseline
    image.checkpoints = CheckpointLedger(
      covered: Checkpoint(state: [1], consumed: 0, produced: 0),
      pending: [Checkpoint(state: [2, 3], consumed: 5000, produced: 5000)])
    let start = image.state.rcvNxt
    image.candidates = [
      .init(sequence: start, bytes: [1, 2, 3], fin: false), .init(sequence: start + 10, bytes: [4], fin: false),
      .init(sequence: start + 12, bytes: [], fin: true),
    ]
    image.identity.id = connection
    image.state.options = options
    func segment(_ header: SegmentHeader, _ payload: [UInt8]) -> [UInt8] {
      var stream = OutgoingStream()
      payload.withUnsafeBytes { stream.appendSegment(.ingress, connection: 0, header, $0) }
      return Array(Wire.take(&stream).dropFirst(Frame.headerCount))
    }
    let header = SegmentHeader(
      sequence: start, acknowledgement: image.state.sndNxt, window: 500, flags: .ack, hasTimestamp: true,
      timestampValue: 5, timestampEcho: 6)
    var leaving = header
    leaving.sequence = image.state.sndNxt
    leaving.acknowledgement = start
    return (
      image.encoded(now: now),
      [
        (.ingress, segment(header, [1, 2, 3, 4])), (.egress, segment(leaving, [5, 6])),
        (.consumed, Wire.number(UInt64(start.rawValue))), (.confirm, Wire.number(3)),
        (.checkpoint, Checkpoint(state: [7], consumed: 2, produced: 1).encoded),
        (.options, options.encoded),
      ]
    )
  }
  private static let connection: UInt64 = 77
  private static let now: UInt64 = 9_000_000

  /// A message with a number in the place of what was there: as many of the number's lower bytes as the field has.
  private static func putting(_ number: UInt64, of size: Int, at offset: Int, in bytes: [UInt8]) -> [UInt8] {
    var changed = bytes
    changed.replaceSubrange(offset..<offset + size, with: Wire.number(number).suffix(size))
    return changed
  }

  /// Looks at everything that a host makes of its ledgers.
  private static func use(_ replica: Replica) {
    for ledger in replica.ledgers.all {
      let image = ledger.image
      _ = image.encoded(now: now)
      _ = Ledger(image).image
      _ = SegmentBuilder.probe(for: ledger, now: now)
      _ = SegmentBuilder.reset(for: ledger)
      _ = SegmentBuilder.unacknowledgedInput(ledger.input.unproven, for: image.state)
      for moment in [0, now, .max] { _ = image.state.timestamp.socketOptionValue(at: moment) }
      _ = (ledger.input.received, ledger.input.reportedOffset, ledger.input.unreportedCount, ledger.obstacle)
      _ = ledger.output.offset(of: image.state.sndUna)
      _ = ledger.outline.encoded(now: now)
      ledger.continueElsewhere()
    }
  }

  /// - Returns: whether it was refused; it may be by an error of its own type alone.
  @discardableResult
  private static func fold(_ type: FrameType, _ body: [UInt8], into replica: inout Replica) throws -> Bool {
    do {
      try Wire.read(type, connection: connection, body) { _ = try replica.fold($0, now: now) }
      return false
    } catch let error as ProtocolError {
      #expect(error == .malformed(type))
      return true
    }
  }

  /// Wherever a field may lie in it, and of whatever size.
  @Test(arguments: [1, 2, 4, 8])
  func aBaselineWithAnyNumberAnywhereIsRefusedOrGoesOn(_ size: Int) throws {
    let (baseline, records) = Self.messages()
    var taken = 0
    for offset in 0...baseline.count - size {
      for number in Self.extremes {
        var replica = Replica()
        guard try !Self.fold(.baseline, Self.putting(number, of: size, at: offset, in: baseline), into: &replica)
        else { continue }
        taken += 1
        for (type, body) in records { #expect(try !Self.fold(type, body, into: &replica)) }
        Self.use(replica)
      }
    }
    #expect(taken > 100)
  }

  @Test(arguments: [1, 2, 4, 8])
  func aRecordWithAnyNumberAnywhereIsRefusedOrFolded(_ size: Int) throws {
    let (baseline, records) = Self.messages()
    for (type, body) in records where body.count >= size {
      for offset in 0...body.count - size {
        for number in Self.extremes {
          var replica = Replica()
          #expect(try !Self.fold(.baseline, baseline, into: &replica))
          try Self.fold(type, Self.putting(number, of: size, at: offset, in: body), into: &replica)
          for (type, body) in records { #expect(try !Self.fold(type, body, into: &replica)) }
          Self.use(replica)
        }
      }
    }
  }

  /// All records, each with a number of its own, one after the other.
  @Test(arguments: 0..<100 as Range<UInt64>)
  func ledgersBearManyExtremesTogether(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let (baseline, records) = Self.messages()
    var replica = Replica()
    #expect(try !Self.fold(.baseline, baseline, into: &replica))
    for _ in 0..<200 {
      guard let (type, body) = records.randomElement(using: &random) else { return }
      let size = min([1, 2, 4, 8][random.below(4)], body.count)
      let offset = random.within(0...body.count - size)
      let number = Self.extremes.randomElement(using: &random) ?? 0
      try Self.fold(type, Self.putting(number, of: size, at: offset, in: body), into: &replica)
      if random.chance(10) { Self.use(replica) }
    }
    Self.use(replica)
  }

  /// Offsets are counted on with: above 2^62 there are none, and below 0 only those of output from before the registration.
  @Test func offsetsEndAtTwoToThe62() throws {
    for number in Self.extremes {
      let offset = Int64(bitPattern: number)
      let isOffset = number <= 1 << 62
      let confirmed = try? Wire.read(.confirm, Wire.number(number)) { frame in
        var replica = Replica()
        return try replica.fold(frame, now: 0)
      }
      #expect((confirmed != nil) == isOffset, "confirmed \(offset)")
      for checkpoint in [
        Checkpoint(state: [], consumed: offset, produced: 0), Checkpoint(state: [], consumed: 0, produced: offset),
      ] {
        let read = try? Wire.read(.checkpoint, checkpoint.encoded) { try Checkpoint(record: $0.body) }
        #expect(read == (isOffset ? checkpoint : nil), "\(checkpoint)")
      }
      var image = ModelConnection(seed: 7, shape: .init(input: 10, output: 10)).baseline
      image.consumed = offset
      #expect((try? Self.read(image)) == (isOffset ? image : nil), "consumed \(offset)")
      image.consumed = 0
      image.sent = offset
      #expect((try? Self.read(image)) == (isOffset || number == .max ? image : nil), "sent \(offset)")
      image.sent = 0
      image.checkpoints = CheckpointLedger(pending: [Checkpoint(state: [], consumed: offset)])
      #expect((try? Self.read(image)) == (isOffset ? image : nil), "a checkpoint at \(offset)")
    }
  }

  private static func read(_ image: LedgerImage) throws -> LedgerImage {
    try Wire.read(.baseline, image.encoded(now: 0)) { try LedgerImage(baseline: $0.body, now: 0) }
  }

  /// Greetings and acknowledgements, whose numbers are positions.
  @Test func positionsThatCannotBeEndTheChannel() throws {
    var random = SeededGenerator(seed: 3)
    let hello = Sample.hello(&random).encoded
    for number in Self.extremes {
      for size in [1, 2, 4, 8] {
        for offset in 0...hello.count - size {
          let changed = Self.putting(number, of: size, at: offset, in: hello)
          do { _ = try Wire.read(.hello, changed) { try Hello($0) } } catch is ProtocolError {}
        }
      }
      let rig = Rig()
      rig.register(1)
      rig.attach()
      try rig.settle()
      let end = rig.position
      if number <= end {
        try rig.acknowledge(number)
        #expect(rig.lag == 0)
      } else {
        #expect(throws: ProtocolError.acknowledgementBeyondEnd) { try rig.acknowledge(number) }
      }
    }
  }
}
