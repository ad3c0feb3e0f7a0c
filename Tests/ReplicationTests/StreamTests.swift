import Modelling
import Replication
import TCPModel
import Testing

/// The two ends of a direction: what goes in comes out, however the transport cuts it.
@Suite struct StreamTests {
  /// Payload that is lent while a batch of packets is at hand and settled behind it gives the bytes that copying gives.
  @Test(arguments: 0..<60)
  func lendingIsCopying(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var lending = OutgoingStream()
    var copying = OutgoingStream()
    var lent: [UInt8] = []
    var copied: [UInt8] = []
    for _ in 0..<random.within(1...40) {
      // One batch: its payloads lie in memory that is used again afterwards.
      let batch = UnsafeMutableRawBufferPointer.allocate(byteCount: 200_000, alignment: 1)
      defer { batch.deallocate() }
      var used = 0
      for _ in 0..<random.within(1...90) {
        let header = Sample.header(&random)
        let count = random.chance(50) ? random.below(1100) : random.within(1000...2100)
        let payload = UnsafeMutableRawBufferPointer(rebasing: batch[used..<used + count])
        used += count
        payload.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: random.next()))
        payload.copyBytes(from: random.bytes(min(count, 16)))
        lending.appendSegment(.ingress, connection: 7, header, UnsafeRawBufferPointer(payload), lending: true)
        copying.appendSegment(.ingress, connection: 7, header, UnsafeRawBufferPointer(payload))
        if random.chance(10) {
          lending.appendNumber(.consumed, connection: 7, 99)
          copying.appendNumber(.consumed, connection: 7, 99)
        }
        if random.chance(15) { lent += Wire.take(&lending, limit: random.below(5000)) }
      }
      let counts = (lending.unsentCount + lent.count, copying.unsentCount + copied.count)
      #expect(counts.0 == counts.1)
      if random.chance(60) { lent += Wire.take(&lending, limit: random.below(100_000)) }
      lending.settle()
      batch.initializeMemory(as: UInt8.self, repeating: 0xee)
      let positions = (lending.position, copying.position)
      #expect(positions.0 == positions.1)
      if random.chance(30) { lent += Wire.take(&lending) }
      if random.chance(50) { copied += Wire.take(&copying, limit: random.below(100_000)) }
    }
    lent += Wire.take(&lending)
    copied += Wire.take(&copying)
    let isSame = lent == copied
    #expect(isSame, "seed \(seed): \(lent.count) and \(copied.count) bytes")
    let (rest, position) = (lending.unsentCount, lending.position)
    #expect(rest == 0 && UInt64(lent.count) == position)
  }

  @Test func settlingNothingChangesNothing() {
    var stream = OutgoingStream()
    stream.settle()
    stream.appendNumber(.acknowledge, 1)
    stream.settle()
    let bytes = Wire.take(&stream)
    #expect(bytes == Wire.frame(.acknowledge, Wire.number(1)))
  }

  /// What a lost channel did not take is gone with it; positions go on counting, and so does nothing else.
  @Test func discardingDropsBytesAndKeepsThePosition() {
    var stream = OutgoingStream(position: 1000)
    let payload = [UInt8](repeating: 5, count: 4000)
    payload.withUnsafeBytes { bytes in
      stream.appendSegment(
        .egress, connection: 1,
        SegmentHeader(
          sequence: SequenceNumber(1), acknowledgement: SequenceNumber(2), window: 3, flags: .ack), bytes, lending: true
      )
      stream.consume(30)
      stream.discard()
    }
    stream.settle()
    let (rest, position) = (stream.unsentCount, stream.position)
    #expect(rest == 0)
    #expect(position == 1000 + 16 + 20 + 4000)
    stream.append(.syncBegin)
    let bytes = Wire.take(&stream)
    #expect(bytes == Wire.frame(.syncBegin))
  }

  @Test func consumingMoreThanThereIsConsumesAll() {
    var stream = OutgoingStream()
    stream.append(.syncBegin)
    stream.consume(1_000_000)
    stream.consume(-5)
    let rest = stream.unsentCount
    #expect(rest == 0)
    stream.append(.syncEnd)
    let bytes = Wire.take(&stream)
    #expect(bytes == Wire.frame(.syncEnd))
  }

  @Test(arguments: [1, 2, 7, 16, 100, 5000, Int.max])
  func framesArriveHoweverTheyAreCut(_ limit: Int) throws {
    var random = SeededGenerator(seed: 3)
    var bytes: [UInt8] = []
    var sent: [(type: UInt8, connection: UInt64, body: [UInt8])] = []
    for _ in 0..<60 {
      // 99: a type of a newer minor version is handed on like any other.
      let frame = (
        type: random.chance(10) ? 99 : UInt8(random.within(4...9)), connection: random.next(),
        body: random.bytes(random.below(random.chance(20) ? 9000 : 40))
      )
      sent.append(frame)
      bytes += Wire.frame(frame.type, connection: frame.connection, frame.body)
    }
    var stream = IncomingStream(capacity: 4096)
    stream.rebase(to: 500)
    var index = 0
    var position: UInt64 = 500
    try Wire.give(bytes, to: &stream, limit: limit) { frame in
      position += UInt64(16 + sent[index].body.count)
      #expect(frame.type == sent[index].type && frame.connection == sent[index].connection)
      #expect(Array(frame.body) == sent[index].body)
      #expect(frame.end == position)
      index += 1
    }
    #expect(index == sent.count)
    let counted = stream.position
    #expect(counted == position)
  }

  /// Larger than the stream's first memory by far.
  @Test func aLongFrameArrives() throws {
    var random = SeededGenerator(seed: 4)
    let body = random.bytes(3 << 20)
    var stream = IncomingStream(capacity: 4096)
    var arrived = 0
    try Wire.give(
      Wire.frame(.release, connection: 1) + Wire.frame(.baseline, body) + Wire.frame(.release, connection: 2),
      to: &stream, limit: 100_000
    ) { frame in
      if frame.type == FrameType.baseline.rawValue {
        let isSame = frame.body.elementsEqual(body)
        #expect(isSame)
      }
      arrived += 1
    }
    #expect(arrived == 3)
  }

  /// Refused by its header: nobody makes us hold 4 GB.
  @Test func aFrameOverTheLimitIsRefusedBeforeItIsThere() {
    for count in [UInt32(Frame.bodyLimit) + 1, .max] {
      var header = Wire.frame(.baseline)
      withUnsafeBytes(of: count.bigEndian) { header.replaceSubrange(0..<4, with: $0) }
      var stream = IncomingStream(capacity: 4096)
      var error: ProtocolError?
      do {
        try Wire.give(header, to: &stream) { _ in Issue.record("there is no frame") }
      } catch let thrown { error = thrown as? ProtocolError }
      #expect(error == .frameTooLong(Int(count)))
    }
  }
}
