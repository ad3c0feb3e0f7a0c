import Modelling
import TCPModel
import Testing

@Suite struct SegmentParserTests {
  @Test(arguments: [4, 6])
  func everyFieldIsWhereTheStandardPutsIt(_ version: Int) throws {
    var packet = version == 6 ? TestPacket.v6() : TestPacket()
    packet.sequence = 0xdead_beef
    packet.acknowledgement = 0xfeed_f00d
    packet.window = 0x1234
    packet.flags = 0x1b
    packet.payload = Array("hello".utf8)
    packet.trailer = [0xee, 0xee, 0xee]
    let (segment, payload) = try packet.parsed()
    #expect(segment.source == Endpoint(address: try #require(IPAddress(bytes: packet.source)), port: 40_000))
    #expect(segment.destination == Endpoint(address: try #require(IPAddress(bytes: packet.destination)), port: 80))
    #expect(segment.header.sequence == SequenceNumber(0xdead_beef))
    #expect(segment.header.acknowledgement == SequenceNumber(0xfeed_f00d))
    #expect(segment.header.window == 0x1234)
    #expect(segment.header.flags == [.fin, .syn, .psh, .ack])
    #expect(!segment.header.hasTimestamp)
    #expect(payload == Array("hello".utf8))
    #expect(segment.end == SequenceNumber(0xdead_beef) + 7)
  }

  @Test func optionsOfIPv4AreSkipped() throws {
    for words in 1...10 {
      var packet = TestPacket()
      packet.extra = [UInt8](repeating: 1, count: words * 4)
      packet.payload = [1, 2, 3]
      let (segment, payload) = try packet.parsed()
      #expect(segment.headerOffset == 20 + words * 4)
      #expect(payload == [1, 2, 3])
    }
  }

  @Test func extensionHeadersOfIPv6AreWalked() throws {
    // Hop-by-hop, routing, destination options (16 bytes), authentication (24 bytes).
    let chain: [UInt8] =
      [43, 0, 0, 0, 0, 0, 0, 0] + [60, 0, 0, 0, 0, 0, 0, 0] + [51, 1] + [UInt8](repeating: 0, count: 14)
      + [6, 4] + [UInt8](repeating: 0, count: 22)
    var packet = TestPacket.v6()
    packet.firstHeader = 0
    packet.extra = chain
    packet.payload = [9, 8, 7]
    let (segment, payload) = try packet.parsed()
    #expect(segment.headerOffset == 40 + chain.count)
    #expect(payload == [9, 8, 7])
  }

  @Test func whatIsNotAWholeTCPSegmentIsNamed() {
    var packet = TestPacket()
    packet.fragment = 0x2000
    #expect(throws: SegmentError.fragment) { try packet.parsed() }
    packet.fragment = 0x0001
    #expect(throws: SegmentError.fragment) { try packet.parsed() }
    packet.fragment = 0
    packet.firstHeader = 17
    #expect(throws: SegmentError.notTCP) { try packet.parsed() }
    var v6 = TestPacket.v6()
    v6.firstHeader = 44
    v6.extra = [6, 0, 0, 0, 0, 0, 0, 0]
    #expect(throws: SegmentError.fragment) { try v6.parsed() }
    v6.firstHeader = 50
    #expect(throws: SegmentError.notTCP) { try v6.parsed() }
    #expect(throws: SegmentError.notIP) {
      try [UInt8](repeating: 0x55, count: 60).withUnsafeBytes { bytes in _ = try Segment.parse(bytes) }
    }
  }

  @Test(
    arguments: [
      [1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9], [8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0],
      [8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 1],
      [3, 3, 7, 1, 2, 4, 5, 0xb4, 1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9],
      [0xfd, 6, 1, 2, 3, 4, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9],
    ] as [[UInt8]])
  func timestampsAreFoundAmongOtherOptions(_ options: [UInt8]) throws {
    var packet = TestPacket()
    packet.options = options
    let header = try packet.parsed().segment.header
    #expect(header.hasTimestamp)
    #expect(header.timestampValue == 7)
    #expect(header.timestampEcho == 9)
  }

  @Test(
    arguments: [
      [0, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 0], [8, 9, 0, 0, 0, 7, 0, 0, 0, 9, 1, 1], [8, 0, 0, 0], [8, 1, 0, 0],
      [8, 200, 0, 0],
      [1, 1, 1, 8],
    ] as [[UInt8]])
  func optionsThatDoNotParseEndTheList(_ options: [UInt8]) throws {
    var packet = TestPacket()
    packet.options = options
    packet.payload = [5]
    let (segment, payload) = try packet.parsed()
    #expect(!segment.header.hasTimestamp)
    #expect(payload == [5])
  }

  @Test func theHighestSelectiveAcknowledgementIsKept() throws {
    func block(_ start: UInt32, _ end: UInt32) -> [UInt8] {
      [start, end].flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> UInt32(24 - 8 * $0)) } }
    }
    var packet = TestPacket()
    packet.acknowledgement = .max - 100
    // Across the wrap, and a D-SACK below the acknowledgement first.
    packet.options = [1, 1, 5, 26] + block(.max - 300, .max - 200) + block(50, 80) + block(.max - 10, 20)
    #expect(try packet.parsed().segment.highestSelectiveAcknowledgement == SequenceNumber(80))
    packet.options = [1, 1, 5, 10] + block(.max - 300, .max - 200)
    #expect(try packet.parsed().segment.highestSelectiveAcknowledgement == nil)
  }

  // MARK: Hostile bytes

  /// Every answer is a segment that lies inside the packet, or a typed error; a trap would end this process.
  private func judge(_ packet: [UInt8]) {
    packet.withUnsafeBytes { bytes in
      guard let segment = try? Segment.parse(bytes) else { return }
      #expect(segment.headerOffset >= 20)
      #expect(segment.payloadOffset >= segment.headerOffset + 20)
      #expect(segment.payloadCount >= 0)
      #expect(segment.payloadOffset + segment.payloadCount <= packet.count)
      _ = segment.payload(in: bytes).count
      _ = Checksum.isValid(segment, in: bytes)
    }
  }

  @Test(arguments: 0..<8)
  func randomBytesNeverTrap(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<3_000 {
      var packet = random.bytes(random.below(120))
      if !packet.isEmpty { packet[0] = random.chance(50) ? 0x40 | UInt8(random.below(16)) : 0x60 | packet[0] & 15 }
      judge(packet)
    }
  }

  @Test(arguments: 0..<8)
  func mutatedPacketsNeverTrap(_ seed: UInt64) {
    var random = SeededGenerator(seed: 100 + seed)
    for _ in 0..<1_000 {
      var packet = TestPacket.random(
        version: random.chance(50) ? 4 : 6, payload: random.bytes(random.below(40)), &random)
      if random.chance(40) {
        packet.firstHeader = [0, 43, 60, 51, 44, 6][random.below(6)]
        packet.extra =
          [[0, 43, 60, 51, 6][random.below(5)], UInt8(random.below(4))] + random.bytes(6 + 8 * random.below(3))
        if packet.version == 4 { packet.extra = Array(packet.extra.prefix(packet.extra.count / 4 * 4)).prefix(40) + [] }
      }
      var bytes = packet.bytes
      for _ in 0..<random.below(6) { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
      if random.chance(40) { bytes.removeLast(random.below(bytes.count)) }
      judge(bytes)
    }
  }

  @Test(arguments: [4, 6])
  func aPacketThatIsCutOffAnywhereIsTruncated(_ version: Int) {
    var packet = version == 6 ? TestPacket.v6() : TestPacket()
    packet.options = [1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9]
    packet.payload = [1, 2, 3, 4]
    let bytes = packet.bytes
    for count in 0..<bytes.count {
      #expect(throws: SegmentError.truncated) {
        try Array(bytes.prefix(count)).withUnsafeBytes { bytes in _ = try Segment.parse(bytes) }
      }
    }
  }

  @Test func aSlicedBufferIsReadFromItsOwnStart() throws {
    let bytes = [0xff, 0xff, 0xff] + TestPacket(payload: [1, 2]).bytes
    try bytes.withUnsafeBytes { all in
      let segment = try Segment.parse(UnsafeRawBufferPointer(rebasing: all[3...]))
      #expect(segment.payloadCount == 2)
    }
  }
}
