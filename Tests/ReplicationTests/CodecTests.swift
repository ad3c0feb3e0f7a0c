import Modelling
import Replication
import TCPModel
import Testing

/// What is written is what is read, for every body of the channel.
@Suite struct CodecTests {
  static let seeds: Range<UInt64> = 0..<200

  @Test func aHelloComesBack() throws {
    for seed in Self.seeds {
      var random = SeededGenerator(seed: seed)
      let hello = Sample.hello(&random)
      let read = try Wire.read(.hello, hello.encoded) { try Hello($0) }
      #expect(read == hello, "seed \(seed)")
    }
  }

  @Test func optionsComeBackAndEqualOnesAreEqualBytes() throws {
    for seed in Self.seeds {
      var random = SeededGenerator(seed: seed)
      let options = Sample.options(&random)
      let read = try Wire.read(.options, options.encoded) { try SocketOptions($0.body) }
      #expect(read == options, "seed \(seed)")
      #expect(read.encoded == options.encoded)
    }
  }

  @Test func aLedgerComesBack() throws {
    for seed in Self.seeds {
      var random = SeededGenerator(seed: seed)
      let image = Sample.image(&random)
      let read = try Wire.read(.baseline, image.encoded(now: 9_000_000)) {
        try LedgerImage(baseline: $0.body, now: 9_000_000)
      }
      #expect(read == image, "seed \(seed)")
      #expect(Ledger(read).image.candidates == image.candidates, "seed \(seed)")
    }
  }

  /// The clocks of two hosts have nothing to do with each other: a TSval crosses with its age.
  @Test(arguments: [(9_000_000, 4_000_000_000), (9_000_000_000, 5_000_000)] as [(UInt64, UInt64)])
  func aTimestampClockCrossesWithItsAge(_ sender: UInt64, _ receiver: UInt64) throws {
    var random = SeededGenerator(seed: 1)
    var image = Sample.image(&random)
    image.state.timestamp = TimestampClock(value: .max - 1, moment: sender - 3_000_000, unit: .milliseconds)
    let read = try Wire.read(.baseline, image.encoded(now: sender)) {
      try LedgerImage(baseline: $0.body, now: receiver)
    }
    #expect(read.state.timestamp.value == UInt32.max - 1)
    #expect(read.state.timestamp.moment == receiver - 3_000_000)
    #expect(read.state.timestamp.restored(at: receiver) == image.state.timestamp.restored(at: sender))
  }

  @Test func aSegmentRecordComesBack() throws {
    for seed in Self.seeds {
      var random = SeededGenerator(seed: seed)
      let header = Sample.header(&random)
      let payload = random.bytes(random.below(3000))
      var stream = OutgoingStream()
      payload.withUnsafeBytes { stream.appendSegment(.egress, connection: seed, header, $0) }
      var incoming = IncomingStream()
      var count = 0
      try Wire.give(Wire.take(&stream), to: &incoming) { frame in
        let record = try #require(SegmentRecord.read(frame.body))
        #expect(frame.type == FrameType.egress.rawValue && frame.connection == seed)
        #expect(record.header == header)
        #expect(Array(record.payload) == payload)
        count += 1
      }
      #expect(count == 1)
    }
  }

  // MARK: Other versions

  /// A newer minor version appends; what is known is read, the rest is skipped.
  @Test func bytesThatANewerMinorVersionAppendsAreSkipped() throws {
    for seed in 0..<40 as Range<UInt64> {
      var random = SeededGenerator(seed: seed)
      let more = random.bytes(random.within(1...50))
      let hello = Sample.hello(&random)
      var bytes = hello.encoded + more
      bytes[7] = 9
      #expect(try Wire.read(.hello, bytes) { try Hello($0) } == hello)
      let options = Sample.options(&random)
      #expect(try Wire.read(.options, options.encoded + more) { try SocketOptions($0.body) } == options)
      let image = Sample.image(&random)
      let baseline = image.encoded(now: 9_000_000) + more
      #expect(try Wire.read(.baseline, baseline) { try LedgerImage(baseline: $0.body, now: 9_000_000) } == image)
    }
  }

  @Test func anotherMajorVersionIsRefusedWithAWordOnWhatToDo() throws {
    var random = SeededGenerator(seed: 1)
    var bytes = Sample.hello(&random).encoded
    bytes[5] = 2
    #expect(throws: ProtocolError.otherMajorVersion(2)) { try Wire.read(.hello, bytes) { try Hello($0) } }
    #expect("\(ProtocolError.otherMajorVersion(2))".contains("upgrade both hosts"))
    // Nothing behind the version is looked at: it may mean anything.
    #expect(throws: ProtocolError.otherMajorVersion(2)) {
      try Wire.read(.hello, Array(bytes[..<8])) { try Hello($0) }
    }
  }

  @Test func whateverIsNotAHelloIsNotHoldfast() throws {
    var random = SeededGenerator(seed: 1)
    var bytes = Sample.hello(&random).encoded
    #expect(throws: ProtocolError.notHoldfast) { try Wire.read(.baseline, bytes) { try Hello($0) } }
    #expect(throws: ProtocolError.notHoldfast) { try Wire.read(.hello, []) { try Hello($0) } }
    bytes[0] = UInt8(ascii: "G")
    #expect(throws: ProtocolError.notHoldfast) { try Wire.read(.hello, bytes) { try Hello($0) } }
  }

  /// An option that only a newer peer knows does not make the others unreadable.
  @Test func anOptionThatIsNotKnownIsSkipped() throws {
    var body = SocketOptions(values: [.noDelay: 1], congestionControl: "bbr").encoded
    let count = body.firstIndex(of: 1).map { $0 - 1 }
    // Text "bbr" takes 7 bytes, the number of options 2.
    #expect(count == 7)
    body[8] = 2
    body += [250, 0, 0, 0, 5]
    let options = try Wire.read(.options, body) { try SocketOptions($0.body) }
    #expect(options == SocketOptions(values: [.noDelay: 1], congestionControl: "bbr"))
  }
}
