import Modelling
import Replication
import TCPModel
import Testing

/// Bytes that are sent after `Checkpoint` returned never leave unless the standby has that checkpoint.
@Suite struct CheckpointOrderTests {
  /// The active host's core with its application, a channel that carries any number of bytes at a time, and the standby's.
  private struct Run: ~Copyable {
    static let connection: UInt64 = 7
    var source = ReplicationSource(gateIsOpen: false)
    var book = LedgerBook()
    let ledger: Ledger
    var replica = Replica()
    var channel = IncomingStream()
    var back = OutgoingStream()
    var random: SeededGenerator

    /// Output offset at which each checkpoint's call returned; its state is its number.
    var calls: [Int64] = []
    var written: Int64 = 0
    var packets: [UInt32: Int64] = [:]
    var nextPacket: UInt32 = 0
    /// One past the last byte that has left.
    var left: Int64 = 0

    init(seed: UInt64) throws {
      random = SeededGenerator(seed: seed)
      var image = ModelConnection(seed: seed, shape: .init(input: 1, output: 1)).baseline
      image.identity.id = Self.connection
      ledger = Ledger(image)
      book.insert(ledger)
      source.attach(
        Hello(node: "a", pair: "p", instance: 1, epoch: 1, position: 0, supportsMicroseconds: true),
        connections: [Self.connection])
      var hello = true
      while source.phase != .synced {
        _ = source.pump(book, now: 0)
        try carry(all: true, skippingHello: &hello)
      }
    }

    mutating func checkpoint() {
      let checkpoint = Checkpoint(
        state: Array("\(calls.count)".utf8), consumed: nil, produced: random.chance(80) ? written : nil)
      source.record(.checkpoint(checkpoint), in: ledger)
      calls.append(written)
    }

    /// The application writes; the kernel makes a packet of it, or one more of what was sent before.
    mutating func write() {
      let count = 1 + random.below(300)
      let start = random.chance(20) ? max(0, written - Int64(random.below(200))) : written
      let header = SegmentHeader(
        sequence: ledger.output.sndNxt + Int(start - written), acknowledgement: ledger.input.rcvNxt, window: 100,
        flags: .ack, hasTimestamp: false, timestampValue: 0)
      random.bytes(count).withUnsafeBytes {
        source.record(.egress(header, $0, at: 0), in: ledger)
        source.hold(nextPacket)
      }
      written = max(written, start + Int64(count))
      packets[nextPacket] = start + Int64(count)
      nextPacket += 1
    }

    /// Some of the stream's bytes reach the standby, and perhaps its acknowledgement comes back.
    mutating func carry(all: Bool, skippingHello hello: inout Bool) throws {
      var pieces: [UnsafeRawBufferPointer] = []
      source.outgoing.pieces(into: &pieces)
      var bytes = pieces.flatMap { Array($0) }
      if !all { bytes = Array(bytes.prefix(random.below(bytes.count + 1))) }
      source.outgoing.consume(bytes.count)
      var rest = bytes[...]
      var end = channel.position
      while true {
        let space = channel.space()
        let count = min(space.count, rest.count)
        rest.prefix(count).withUnsafeBytes { space.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        channel.commit(count)
        rest = rest.dropFirst(count)
        while let frame = try channel.next() {
          end = frame.end
          if hello {
            hello = false
          } else {
            _ = try replica.fold(frame, now: 0)
          }
        }
        if rest.isEmpty { break }
      }
      guard all || random.chance(50), end > source.acknowledged else { return }
      back.appendNumber(.acknowledge, end)
      var acknowledgement = IncomingStream()
      back.pieces(into: &pieces)
      let answer = pieces.flatMap { Array($0) }
      answer.withUnsafeBytes { acknowledgement.space().copyMemory(from: $0) }
      acknowledgement.commit(answer.count)
      back.consume(answer.count)
      while let frame = try acknowledgement.next() { _ = try source.receive(frame) }
      if let last = source.gate.release() {
        for (packet, end) in packets where packet <= last {
          left = max(left, end)
          packets[packet] = nil
        }
      }
    }

    mutating func step() throws {
      var none = false
      switch random.below(4) {
      case 0: checkpoint()
      case 1: write()
      default: try carry(all: random.chance(10), skippingHello: &none)
      }
    }
  }

  private func number(_ checkpoint: Checkpoint?) -> Int {
    checkpoint.flatMap { Int(String(decoding: $0.state, as: UTF8.self)) } ?? -1
  }

  /// 5000 crashes, each at a random step. What has left is all that anyone outside can know.
  @Test(arguments: 0..<50)
  func aCrashNeverShowsOutputWhoseCheckpointTheStandbyLacks(_ round: Int) throws {
    for turn in 0..<100 {
      let seed = UInt64(round * 100 + turn)
      var run = try Run(seed: seed)
      for _ in 0..<run.random.within(1...60) { try run.step() }
      // The active host is gone.
      let standby = try #require(run.replica.ledgers[Run.connection])
      let left = run.left
      let needed = run.calls.lastIndex { $0 < left } ?? -1
      let newest = standby.checkpoints.pending.last ?? standby.checkpoints.covered
      #expect(number(newest) >= needed, "seed \(seed): \(left) bytes have left")
      standby.continueElsewhere()
      // What the application goes on from is no younger than the output that the peer will get.
      let covered = standby.checkpoints.covered
      #expect(covered?.produced ?? 0 <= standby.output.sent, "seed \(seed)")
      #expect(standby.output.sent >= left, "seed \(seed)")
      // And no older than the newest that was covered by what has left.
      let oldest = run.calls.lastIndex { $0 <= left && $0 < left } ?? -1
      #expect(number(covered) >= oldest, "seed \(seed)")
    }
  }

  @Test func aRecordOverTheLimitOrCutShortIsRefused() throws {
    let largest = Checkpoint(state: [UInt8](repeating: 1, count: Checkpoint.stateLimit), consumed: 5, produced: nil)
    let record = largest.encoded
    #expect(try record.withUnsafeBytes { try Checkpoint(record: $0) } == largest)
    #expect(throws: ProtocolError.malformed(.checkpoint)) {
      try (record + [0]).withUnsafeBytes { try Checkpoint(record: $0) }
    }
    for count in 0..<17 {
      #expect(throws: ProtocolError.malformed(.checkpoint)) {
        try record.prefix(count).withUnsafeBytes { try Checkpoint(record: $0) }
      }
    }
    let negative = Checkpoint(state: [], consumed: -1, produced: 0).encoded
    #expect(throws: ProtocolError.malformed(.checkpoint)) {
      try negative.withUnsafeBytes { try Checkpoint(record: $0) }
    }
  }
}
