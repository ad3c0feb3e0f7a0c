import Lab
import TCPModel
import Testing

/// The judge of every failover test must itself be able to say no.
struct CaptureCheckTests {
  private func stream(_ range: Range<UInt64>) -> [UInt8] { Pattern(seed: 1).bytes(range) }

  @Test func aCleanConnectionHasNoViolations() throws {
    var capture = HandmadeCapture()
    capture.addHandshake()
    capture.add(.init(sequence: 1001, timestamp: 100, payload: stream(0..<1000)))
    capture.add(.init(fromService: false, sequence: 5001, timestamp: 2))
    capture.add(.init(sequence: 2001, timestamp: 101, payload: stream(1000..<1400)))
    capture.add(.init(sequence: 2401, flags: [.fin, .ack], timestamp: 101))
    capture.add(.init(sequence: 2402, timestamp: 102))
    let check = try capture.check()
    #expect(check.packets == 8)
    #expect(check.misplacedFins == 0)
    let evidence = try #require(check.connections.first)
    #expect(check.connections.count == 1)
    #expect(check.violations.isEmpty)
    #expect(evidence.startSeen)
    #expect(evidence.bytesFromService == 1400)
    #expect(evidence.finsFromService == [1400])
    #expect(evidence.client.port == 40000)
    #expect(check.unexpectedFins { _ in (1400, nil) } == 0)
  }

  @Test func resetsAreCountedBySide() throws {
    var capture = HandmadeCapture()
    capture.addHandshake()
    capture.add(.init(sequence: 1001, flags: [.rst]))
    capture.add(.init(fromService: false, sequence: 0, flags: [.rst, .ack]))
    let check = try capture.check()
    #expect(check.connections.map(\.resetsFromService) == [1])
    #expect(check.connections.map(\.resetsFromClient) == [1])
    #expect(check.violations.count == 1)
  }

  @Test func aResetAfterBothEndsWereAcknowledgedIsNoViolation() throws {
    var capture = HandmadeCapture()
    capture.addHandshake()
    capture.add(.init(fromService: false, sequence: 5001, flags: [.fin, .ack]))
    capture.add(.init(sequence: 1001, acknowledgement: 5002, flags: [.fin, .ack]))
    var tooEarly = capture
    tooEarly.add(.init(sequence: 1002, flags: [.rst]))
    #expect(try tooEarly.check().violations.count == 1)
    capture.add(.init(fromService: false, sequence: 5002, acknowledgement: 1002))
    capture.add(.init(sequence: 1002, flags: [.rst]))
    #expect(try capture.check().violations == [])
    #expect(try capture.check().connections.map(\.resetsAfterTheEnd) == [1])
    // It may have ended the client's TIME_WAIT, and then the client answers late packets in the same way.
    capture.add(.init(fromService: false, sequence: 5002, flags: [.rst]))
    #expect(try capture.check().violations == [])
    #expect(try capture.check().connections.map(\.resetsAfterTheEnd) == [2])
  }

  @Test func aFinInMidStreamIsUnexpected() throws {
    var capture = HandmadeCapture()
    capture.addHandshake()
    capture.add(.init(sequence: 1001, payload: stream(0..<100)))
    capture.add(.init(sequence: 1101, flags: [.fin, .ack]))
    capture.add(.init(sequence: 1101, flags: [.fin, .ack]))
    capture.add(.init(fromService: false, sequence: 5001, flags: [.fin, .ack]))
    let check = try capture.check()
    #expect(check.connections.map(\.finsFromService) == [[100]])
    #expect(check.unexpectedFins { _ in (nil, nil) } == 2)
    #expect(check.unexpectedFins { _ in (100, nil) } == 1)
    #expect(check.unexpectedFins { _ in (100, 0) } == 0)
    #expect(check.unexpectedFins { _ in (99, 0) } == 1)
  }

  @Test func twoEndsOfOneStreamAreAViolation() throws {
    var capture = HandmadeCapture()
    capture.addHandshake()
    capture.add(.init(sequence: 1101, flags: [.fin, .ack]))
    capture.add(.init(sequence: 1201, flags: [.fin, .ack]))
    #expect(try capture.check().violations.count == 1)
  }

  @Test func aTimestampThatGoesBackIsFound() throws {
    var capture = HandmadeCapture()
    capture.addHandshake(timestamp: 1000)
    capture.add(.init(sequence: 1001, timestamp: 1010, payload: stream(0..<10)))
    capture.add(.init(sequence: 1011, timestamp: 1003, payload: stream(10..<20)))
    // What the client counts is its own business here.
    capture.add(.init(fromService: false, sequence: 5001, timestamp: 0))
    let check = try capture.check()
    #expect(check.timestampsBackwards == 1)
    #expect(check.connections.map(\.furthestBack) == [7])
    #expect(check.violations.count == 1)
  }

  /// The streams' own order tells a packet that was overtaken on its way from a clock that went back.
  @Test func anOvertakenPacketIsNoClockThatGoesBack() throws {
    var capture = HandmadeCapture()
    capture.addHandshake(timestamp: 1000)
    capture.add(.init(sequence: 1001, acknowledgement: 5001, timestamp: 1010, payload: stream(0..<10)))
    // An acknowledgement overtakes ten bytes; the next ten overtake both that follow.
    capture.add(.init(sequence: 1021, acknowledgement: 5201, timestamp: 1012))
    capture.add(.init(sequence: 1011, acknowledgement: 5101, timestamp: 1011, payload: stream(10..<20)))
    capture.add(.init(sequence: 1041, acknowledgement: 5201, timestamp: 1020, payload: stream(40..<50)))
    capture.add(.init(sequence: 1021, acknowledgement: 5201, timestamp: 1015, payload: stream(20..<30)))
    capture.add(.init(sequence: 1031, acknowledgement: 5201, timestamp: 1016, payload: stream(30..<40)))
    #expect(try capture.check(mayBeOvertaken: true).violations == [])
    // Where a gate puts packets in one order nothing is overtaken.
    #expect(try capture.check().timestampsBackwards == 3)
    // Nothing of this can be repeated: each of these is what a socket with a lower clock sends.
    let lower: [HandmadeCapture.Packet] = [
      .init(sequence: 1031, acknowledgement: 5201, timestamp: 1016, payload: stream(30..<40)),
      .init(sequence: 1051, acknowledgement: 5201, timestamp: 1019, payload: stream(50..<60)),
      .init(sequence: 1051, acknowledgement: 5201, timestamp: 1019),
      .init(sequence: 1036, acknowledgement: 5201, timestamp: 1019, payload: stream(35..<60)),
    ]
    for packet in lower {
      var capture = capture
      capture.add(packet)
      #expect(try capture.check(mayBeOvertaken: true).timestampsBackwards == 1)
    }
    // Nor can it come from another host, or much later.
    var other = capture
    other.add(.init(sequence: 1061, acknowledgement: 5201, timestamp: 1030))
    other.add(.init(sequence: 1051, acknowledgement: 5201, timestamp: 1029, payload: stream(50..<60), sender: 3))
    #expect(try other.check(mayBeOvertaken: true).timestampsBackwards == 1)
    var late = capture
    late.add(.init(sequence: 1061, acknowledgement: 5201, timestamp: 1030))
    late.pass(milliseconds: 60)
    late.add(.init(sequence: 1051, acknowledgement: 5201, timestamp: 1029, payload: stream(50..<60)))
    #expect(try late.check(mayBeOvertaken: true).timestampsBackwards == 1)
  }

  @Test func aTimestampMayPassTheEndOfItsRange() throws {
    var capture = HandmadeCapture()
    capture.addHandshake(timestamp: 0xffff_fff0)
    capture.add(.init(sequence: 1001, timestamp: 0xffff_ffff))
    capture.add(.init(sequence: 1001, timestamp: 5))
    #expect(try capture.check().timestampsBackwards == 0)
    capture.add(.init(sequence: 1001, timestamp: 0xffff_fff5))
    #expect(try capture.check().connections.map(\.furthestBack) == [16])
  }

  @Test func bytesThatComeAgainDifferentlyAreFound() throws {
    var capture = HandmadeCapture()
    capture.addHandshake()
    capture.add(.init(sequence: 1001, payload: stream(0..<3000)))
    // A super-packet cut elsewhere the second time, over what is known and on.
    capture.add(.init(sequence: 2001, payload: stream(1000..<4000)))
    #expect(try capture.check().differingBytes == 0)
    var wrong = stream(2000..<2500)
    wrong[10] ^= 0xff
    wrong[11] ^= 0xff
    capture.add(.init(sequence: 3001, payload: wrong))
    #expect(try capture.check().differingBytes == 2)
    #expect(try capture.check().violations.count == 1)
  }

  @Test func aHoleIsNotADifferenceButWhatFillsItCounts() throws {
    var capture = HandmadeCapture()
    capture.addHandshake()
    capture.add(.init(sequence: 1001, payload: stream(0..<100)))
    capture.add(.init(sequence: 1301, payload: stream(300..<400)))
    capture.add(.init(sequence: 1051, payload: stream(50..<350)))
    #expect(try capture.check().differingBytes == 0)
    var wrong = stream(150..<160)
    wrong[0] ^= 1
    capture.add(.init(sequence: 1151, payload: wrong))
    #expect(try capture.check().differingBytes == 1)
  }

  @Test func shortenedPacketsCountTheirWholeLength() throws {
    var capture = HandmadeCapture()
    capture.addHandshake()
    capture.add(.init(sequence: 1001, payload: stream(0..<9000), kept: 128))
    let check = try capture.check()
    #expect(check.shortened == 1)
    #expect(check.connections.map(\.bytesFromService) == [9000])
    #expect(check.differingBytes == 0)
  }

  @Test func connectionsAreKeptApart() throws {
    var capture = HandmadeCapture(linkType: 101)
    for port in 40000..<40010 as Range<UInt16> { capture.addHandshake(clientPort: port) }
    capture.add(.init(sequence: 1001, flags: [.rst], clientPort: 40003))
    let check = try capture.check()
    #expect(check.connections.count == 10)
    #expect(check.connections.filter { $0.resetsFromService > 0 }.map(\.client.port) == [40003])
  }

  @Test func aPortThatIsUsedAgainIsAnotherConnection() throws {
    var capture = HandmadeCapture()
    capture.addHandshake(timestamp: 5000)
    capture.add(.init(sequence: 1001, flags: [.fin, .ack], timestamp: 5001))
    capture.add(.init(fromService: false, sequence: 9000, flags: [.syn], timestamp: 1))
    capture.add(.init(sequence: 77, flags: [.syn, .ack], timestamp: 10))
    let check = try capture.check()
    #expect(check.connections.count == 2)
    #expect(check.violations.isEmpty)
  }

  @Test func sequenceNumbersMayWrap() throws {
    var capture = HandmadeCapture()
    capture.add(.init(fromService: false, sequence: 1, flags: [.syn]))
    capture.add(.init(sequence: 0xffff_ff00, flags: [.syn, .ack]))
    capture.add(.init(sequence: 0xffff_ff01, payload: stream(0..<1000)))
    capture.add(.init(sequence: 0xffff_ff01 &+ 1000, payload: stream(1000..<2000)))
    capture.add(.init(sequence: 0xffff_ff01 &+ 500, payload: stream(500..<1500)))
    let check = try capture.check()
    #expect(check.connections.map(\.bytesFromService) == [2000])
    #expect(check.differingBytes == 0)
  }

  @Test func aFileThatEndsInMidPacketIsReadUpToThere() throws {
    var capture = HandmadeCapture()
    capture.addHandshake()
    #expect(try capture.check(prefix: capture.count - 3).packets == 2)
    #expect(throws: LabError.self) { try capture.check(prefix: 10) }
  }

  @Test func whatIsNoCaptureIsRefused() {
    #expect(throws: LabError.self) { try HandmadeCapture(magic: 0x1234_5678).check() }
    #expect(throws: LabError.self) { try HandmadeCapture(linkType: 9999).check() }
  }
}
