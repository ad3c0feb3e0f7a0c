import Modelling
import Replication
import TCPModel
import Testing

/// Whatever comes over the channel ends in a typed error or in ledgers that can be looked at; nothing traps.
@Suite struct HostileBytesTests {
  private static func error(_ type: FrameType, _ body: [UInt8], _ read: (Frame) throws -> Void) throws -> ProtocolError?
  {
    do {
      try Wire.read(type, body, read)
      return nil
    } catch let error as ProtocolError { return error }
  }

  @Test func aHelloCutShortIsAnError() throws {
    var random = SeededGenerator(seed: 1)
    let bytes = Sample.hello(&random).encoded
    for count in bytes.indices {
      let error = try Self.error(.hello, Array(bytes[..<count])) { _ = try Hello($0) }
      #expect(error == (count < 8 ? .notHoldfast : .malformed(.hello)), "\(count) bytes")
    }
  }

  @Test func aHelloWithNumbersThatCannotBeIsAnError() throws {
    var random = SeededGenerator(seed: 2)
    for number: UInt64 in [1 << 62, .max - 1, .max] {
      for key: WritableKeyPath<Hello, UInt64> in [\.epoch, \.position] {
        var hello = Sample.hello(&random)
        hello[keyPath: key] = number
        #expect(try Self.error(.hello, hello.encoded) { _ = try Hello($0) } == .malformed(.hello))
      }
    }
  }

  @Test func aLedgerCutShortIsAnError() throws {
    for seed in 0..<20 as Range<UInt64> {
      var random = SeededGenerator(seed: seed)
      let bytes = Sample.image(&random).encoded(now: 9_000_000)
      for count in bytes.indices where count < 300 || count > bytes.count - 50 || random.chance(5) {
        let error = try Self.error(.baseline, Array(bytes[..<count])) {
          _ = try LedgerImage(baseline: $0.body, now: 9_000_000)
        }
        guard error == .malformed(.baseline) else {
          Issue.record("seed \(seed), \(count) bytes: \(error as Any)"); return
        }
      }
    }
  }

  @Test func optionsCutShortAreAnError() throws {
    let bytes = SocketOptions(values: [.noDelay: 1, .keepIdle: 60], congestionControl: "cubic").encoded
    for count in bytes.indices {
      let error = try Self.error(.options, Array(bytes[..<count])) { _ = try SocketOptions($0.body) }
      #expect(error == .malformed(.options), "\(count) bytes")
    }
  }

  @Test func recordsCutShortAreErrors() throws {
    let needed: [(FrameType, Int)] = [(.ingress, 20), (.egress, 20), (.consumed, 8)]
    for (type, count) in needed {
      for short in 0..<count {
        let error = try Self.error(type, [UInt8](repeating: 1, count: short)) { frame in
          var replica = Replica()
          _ = try replica.fold(frame, now: 0)
        }
        #expect(error == .malformed(type), "\(type) of \(short) bytes")
      }
    }
  }

  /// Single ones, or longer, at every second sequence number.
  /// - Parameter contiguous: how many bytes go on where the input ends.
  private static func islands(_ count: Int, of image: LedgerImage, bytes: Int = 1, contiguous: Int = 0)
    -> [LedgerImage.Candidate]
  {
    let start = image.state.rcvNxt
    let first = LedgerImage.Candidate(sequence: start, bytes: [UInt8](repeating: 7, count: contiguous), fin: false)
    return (contiguous > 0 ? [first] : [])
      + (0..<count).map { number in
        .init(sequence: start + contiguous + 1 + 2 * number, bytes: [UInt8](repeating: 1, count: bytes), fin: false)
      }
  }

  private static func fins(_ count: Int, of image: LedgerImage) -> [LedgerImage.Candidate] {
    (0..<count).map { .init(sequence: image.state.rcvNxt + 1000 + $0, bytes: [], fin: true) }
  }

  /// As many candidates as a ledger can have are read, and are what they were; also where the sequence wraps.
  @Test(arguments: [false, true])
  func asManyIslandsAsThereMayBeAreTaken(_ wraps: Bool) throws {
    var image = ModelConnection(seed: 3, shape: .init(input: 100, output: 100, wraps: wraps)).baseline
    for contiguous in [0, 5] {
      image.candidates = Self.islands(Islands.limit, of: image, contiguous: contiguous) + Self.fins(8, of: image)
      let body = image.encoded(now: 0)
      let read = try Wire.read(.baseline, body) { try LedgerImage(baseline: $0.body, now: 0) }
      #expect(read == image)
      #expect(Ledger(read).image == image)
      #expect(Ledger(read).image.encoded(now: 0) == body)
      // A standby gets it in one piece.
      #expect(body.count < 1 << 14)
    }
  }

  /// A ledger that lacks input keeps what has arrived behind it, for nobody to go on from. A standby learns of it all the same.
  @Test func aBrokenLedgerWithIslandsIsTaken() throws {
    var image = ModelConnection(seed: 3, shape: .init(input: 100, output: 100)).baseline
    image.candidates = Self.islands(Islands.limit, of: image)
    let ledger = Ledger(image)
    let header = SegmentHeader(
      sequence: image.state.sndNxt, acknowledgement: image.state.rcvNxt + 100, window: 10, flags: .ack)
    ledger.apply(.egress(header, UnsafeRawBufferPointer(start: nil, count: 0), at: 0))
    #expect(ledger.image.isBroken && ledger.image.candidates.count > 200)
    let read = try Wire.read(.baseline, ledger.image.encoded(now: 0)) { try LedgerImage(baseline: $0.body, now: 0) }
    #expect(read == ledger.image)
  }

  /// A ledger that contradicts itself would be restored as a socket that contradicts itself, or trap on the way.
  @Test func aLedgerThatContradictsItselfIsRefused() throws {
    let changes: [(String, (inout LedgerImage) -> Void)] = [
      ("more output than sequence numbers", { $0.state.sendQueue.append(1) }),
      ("fewer input bytes than sequence numbers", { $0.state.rcvNxt += 1 }),
      ("acknowledged beyond what was sent", { $0.state.sndUna = $0.state.sndNxt + 5 }),
      ("read beyond what was received", { $0.state.copiedSeq = $0.state.rcvNxt + 5 }),
      (
        "a FIN without a sequence number",
        {
          $0.state.finReceived = true; $0.state.copiedSeq = $0.state.rcvNxt
        }
      ),
      (
        "broken, and read beyond what was received",
        {
          $0.isBroken = true; $0.state.copiedSeq = $0.state.rcvNxt + 5
        }
      ),
      (
        "broken, and acknowledged beyond what was sent",
        {
          $0.isBroken = true; $0.state.sndUna = $0.state.sndNxt + 5
        }
      ),
      (
        "broken, with a gigabyte of input",
        {
          $0.isBroken = true; $0.state.rcvNxt = $0.state.copiedSeq + 0x7fff_ffff
        }
      ),
      ("an offset that cannot be added to", { $0.consumed = .max }), ("a negative offset", { $0.consumed = -1 }),
      ("an output offset that cannot be added to", { $0.sent = .max }),
      ("an output offset below everything", { $0.sent = .min }),
      ("a window of two gigabytes", { $0.offeredEdge = $0.state.rcvNxt + 0x7fff_ffff }),
      ("a window scale that does not exist", { $0.state.negotiated.receiveWindowScale = 15 }),
      (
        "a candidate beyond every window",
        { $0.candidates = [.init(sequence: $0.state.rcvNxt + 0x7fff_0000, bytes: [1], fin: false)] }
      ),
      ("a candidate too many", { $0.candidates = Self.islands(Islands.limit + 1, of: $0) }),
      (
        "a candidate too many, behind input without a hole",
        { $0.candidates = Self.islands(Islands.limit + 1, of: $0, contiguous: 5) }
      ),
      ("a thousand FINs", { $0.candidates = Self.fins(1000, of: $0) }),
      ("candidates that are not in order", { $0.candidates = Self.islands(5, of: $0).reversed() }),
      ("candidates that overlap", { $0.candidates = Self.islands(5, of: $0, bytes: 3) }),
      ("candidates that touch", { $0.candidates = Self.islands(5, of: $0, bytes: 2) }),
      ("a candidate twice", { $0.candidates = Self.islands(1, of: $0) + Self.islands(1, of: $0) }),
      (
        "a candidate below the end of the input",
        { $0.candidates = [.init(sequence: $0.state.rcvNxt - 1, bytes: [1], fin: false)] }
      ),
    ]
    for (name, change) in changes {
      var image = ModelConnection(seed: 3, shape: .init(input: 100, output: 100)).baseline
      change(&image)
      let error = try Self.error(.baseline, image.encoded(now: 0)) { _ = try LedgerImage(baseline: $0.body, now: 0) }
      #expect(error == .malformed(.baseline), "\(name)")
    }
  }

  /// Bytes of a real channel with some of them changed.
  @Test(arguments: 0..<60)
  func aStreamWithFlippedBytesDoesNotTrap(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let rig = Rig()
    for each in 1...3 { rig.register(seed * 10 + UInt64(each), .init(input: 900, output: 900, inputCloses: true)) }
    rig.attach()
    _ = rig.pump()
    for _ in 0..<60 { for id in rig.models.keys.sorted() { rig.step(id) } }
    let bytes = Wire.take(&rig.source.outgoing)
    for _ in 0..<12 {
      var changed = bytes
      for _ in 0..<random.within(1...6) { changed[random.below(changed.count)] = UInt8(random.below(256)) }
      var stream = IncomingStream()
      var replica = Replica()
      do {
        try Wire.give(changed, to: &stream, limit: random.within(1...5000)) { frame in
          if frame.type == FrameType.hello.rawValue {
            _ = try Hello(frame)
          } else {
            _ = try replica.fold(frame, now: 1)
          }
        }
      } catch is ProtocolError {}
      for ledger in replica.ledgers.all { _ = ledger.image.encoded(now: 2) }
    }
  }

  /// Records that no kernel would ever make, on a ledger that was sound.
  @Test(arguments: 0..<40)
  func recordsThatNoKernelMakesDoNotTrap(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let baseline = ModelConnection(seed: seed, shape: .init(input: 100, output: 100)).baseline
    let ledger = Ledger(baseline)
    for _ in 0..<300 {
      var header = Sample.header(&random)
      header.flags.insert(.ack)
      header.flags.remove(.syn)
      // Mostly near what is known, so that it is taken in; or a leap, in steps of what a sequence number can tell.
      let state = baseline.state
      if random.chance(70) { header.sequence = state.sndNxt + random.within(-200...200) }
      if random.chance(50) { header.acknowledgement = state.rcvNxt + random.within(-100_000...100_000) }
      if random.chance(20) { header.acknowledgement = ledger.input.rcvNxt + 0x7fff_ffff }
      random.bytes(random.below(300)).withUnsafeBytes { ledger.apply(.egress(header, $0, at: 0)) }
      if random.chance(30) { ledger.apply(.consumed(header.acknowledgement)) }
      if random.chance(10) {
        let image = ledger.image
        #expect(image.state.receiveQueue.count <= max(0, ledger.input.unconsumedCount))
        _ = image.encoded(now: 1)
      }
    }
  }
}
