import Modelling
import TCPModel
import Testing

@Suite struct SegmentBuilderTests {
  private static func ledger(v6: Bool = false, _ change: (inout LedgerImage) -> Void = { _ in }) -> Ledger {
    var image = ModelConnection(seed: 1, shape: .init(input: 10, output: 10)).baseline
    if v6 {
      image.state.flow = Flow(
        local: Endpoint(address: IPAddress(v6High: 0xfd77 << 48, low: 0x100), port: 80),
        peer: Endpoint(address: IPAddress(v6High: 0xfd77 << 48, low: 2), port: 40_001))
    }
    change(&image)
    return Ledger(image)
  }

  /// Parses it back and holds it against the reference: IP checksum, TCP checksum, lengths.
  private func parse(_ packet: IPPacket) throws -> SegmentHeader {
    try packet.bytes.withUnsafeBytes { bytes in
      let segment = try Segment.parse(bytes)
      #expect(Checksum.isValid(segment, in: bytes))
      #expect(segment.source.address == packet.source)
      #expect(segment.destination.address == packet.destination)
      #expect(segment.payloadCount == 0)
      #expect(segment.payloadOffset == packet.bytes.count)
      if !packet.source.isIPv6 { #expect(ChecksumTests.reference(packet.bytes[..<20]) == 0) }
      return segment.header
    }
  }

  @Test(arguments: [false, true])
  func aProbeAsksFromBelowTheWindow(_ v6: Bool) throws {
    let ledger = Self.ledger(v6: v6) { image in
      image.state.sndUna = SequenceNumber(0)
      image.state.sndNxt = SequenceNumber(0)
      image.state.timestamp = TimestampClock(value: .max, moment: 1_000_000, unit: .milliseconds)
      image.peerTimestamp = 4711
    }
    let header = try parse(SegmentBuilder.probe(for: ledger, now: 4_000_000))
    #expect(header.sequence == SequenceNumber(.max))
    #expect(header.acknowledgement == ledger.input.rcvNxt)
    #expect(header.flags == .ack)
    #expect(header.hasTimestamp)
    #expect(header.timestampValue == 3)
    #expect(header.timestampEcho == 4711)
    #expect(Int(header.window) << Int(ledger.negotiated.receiveWindowScale) == Int(ledger.window.receiveWindow))
  }

  @Test func aProbeWithoutTimestampsHasNone() throws {
    let ledger = Self.ledger { image in
      image.state.negotiated.timestampUnit = .none
      image.state.timestamp = TimestampClock(value: 0, moment: 0, unit: .none)
    }
    #expect(try !parse(SegmentBuilder.probe(for: ledger, now: 9)).hasTimestamp)
  }

  /// As far as it is whole; what lies behind a gap comes again from the peer.
  @Test(arguments: [false, true])
  func inputThatNobodyHasAcknowledgedComesOnceMore(_ v6: Bool) throws {
    var random = SeededGenerator(seed: 3)
    let bytes = random.bytes(70_000)
    let ledger = Self.ledger(v6: v6) { image in
      image.candidates = [
        .init(sequence: image.state.rcvNxt, bytes: bytes, fin: false),
        .init(sequence: image.state.rcvNxt + 80_000, bytes: [1, 2, 3], fin: false),
      ]
    }
    var next = ledger.input.rcvNxt
    var presented: [UInt8] = []
    for packet in SegmentBuilder.unacknowledgedInput(ledger.input.unproven, for: ledger.state) {
      #expect(packet.source == ledger.flow.peer.address && packet.destination == ledger.flow.local.address)
      try packet.bytes.withUnsafeBytes { bytes in
        let segment = try Segment.parse(bytes)
        #expect(Checksum.isValid(segment, in: bytes))
        #expect(segment.header.sequence == next)
        #expect(segment.header.acknowledgement == ledger.output.sndUna)
        #expect(segment.payloadOffset + segment.payloadCount == packet.bytes.count)
        presented += segment.payload(in: bytes)
        next = segment.end
      }
    }
    #expect(presented == bytes)
    #expect(Self.ledger(v6: v6).input.unproven.isEmpty)
    #expect(SegmentBuilder.unacknowledgedInput([], for: ledger.state).isEmpty)
  }

  /// A window that the header cannot express is cut, never wrapped to a small one.
  @Test func aHugeWindowIsClamped() throws {
    let ledger = Self.ledger { image in
      image.state.negotiated.receiveWindowScale = 0
      image.offeredEdge = image.state.rcvNxt + (1 << 20)
    }
    #expect(try parse(SegmentBuilder.probe(for: ledger, now: 0)).window == .max)
  }

  @Test(arguments: [false, true])
  func aResetCarriesTheExactNextNumber(_ v6: Bool) throws {
    let ledger = Self.ledger(v6: v6)
    let header = try parse(SegmentBuilder.reset(for: ledger))
    #expect(header.flags == [.rst, .ack])
    #expect(header.sequence == ledger.output.sndNxt)
    #expect(header.acknowledgement == ledger.input.rcvNxt)
  }

  @Test(arguments: [false, true])
  func thePeersWordsComeFromThePeer(_ v6: Bool) throws {
    var state = Self.ledger(v6: v6).state
    state.finReceived = true
    state.rcvNxt += 1
    state.finSent = true
    state.sndNxt += 1
    for acknowledging in [false, true] {
      let packet = SegmentBuilder.peerFin(for: state, acknowledgingFin: acknowledging)
      #expect(packet.source == state.flow.peer.address)
      #expect(packet.destination == state.flow.local.address)
      let header = try parse(packet)
      #expect(header.flags == [.fin, .ack])
      #expect(header.sequence == state.rcvNxt - 1)
      #expect(header.acknowledgement == (acknowledging ? state.sndNxt : state.sndUna))
      #expect(UInt32(header.window) << UInt32(state.negotiated.sendWindowScale) == state.window.sendWindow)
    }
    let answer = try parse(SegmentBuilder.peerAcknowledgement(for: state))
    #expect(answer.flags == .ack)
    #expect(answer.acknowledgement == state.sndNxt)
    #expect(answer.sequence == state.rcvNxt)
  }
}
