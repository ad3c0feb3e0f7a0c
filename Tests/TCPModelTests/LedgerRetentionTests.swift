import Modelling
import TCPModel
import Testing

/// What the application says of its own progress: which input is kept, and which state counts.
@Suite struct LedgerRetentionTests {
  private static func confirming() -> LedgerFixture { LedgerFixture { $0.identity.retention = .confirm } }

  private func state(_ text: String, consumed: Int64? = nil, produced: Int64? = nil) -> Checkpoint {
    Checkpoint(state: Array(text.utf8), consumed: consumed, produced: produced)
  }

  @Test func confirmedInputIsTrimmedAndNeverBeyondWhatThePeerWasTold() {
    let it = Self.confirming()
    it.ingress(1000, "hello world")
    it.egress(5000, ack: 1005)
    it.ledger.apply(.confirmed(2))
    #expect(it.input == "llo" && it.ledger.input.consumed == 2)
    // Read and confirmed before its acknowledgement left.
    it.ledger.apply(.confirmed(8))
    #expect(it.ledger.input.consumed == 5 && it.ledger.input.reportedOffset == 8)
    it.egress(5000, ack: 1011)
    #expect(it.ledger.input.consumed == 8 && it.input == "rld")
    // Going back, and offsets that cannot be, change nothing.
    for wrong in [Int64.min, -1, 0, 7, 1 << 32, .max] { it.ledger.apply(.confirmed(wrong)) }
    #expect(it.ledger.input.consumed == 8 && it.ledger.input.reportedOffset == 8)
  }

  /// The peer sends again what it was not told is delivered; the next application has not read it.
  @Test func whatTheDeadHostReadBeyondTheProvenComesAgain() {
    let it = Self.confirming()
    it.ingress(1000, "hello world")
    it.egress(5000, ack: 1005)
    it.ledger.apply(.confirmed(11))
    it.ledger.continueElsewhere()
    it.ingress(1005, " world")
    it.egress(5000, ack: 1011)
    #expect(it.ledger.input.consumed == 5 && it.input == " world")
  }

  @Test func aCheckpointCountsOnceItIsCovered() {
    let it = Self.confirming()
    it.ingress(1000, "abcdef")
    it.ledger.apply(.checkpoint(state("one", consumed: 2, produced: 3)))
    #expect(it.ledger.checkpoints.covered == nil)
    // The input is told, the output has not left.
    it.egress(5000, "xy", ack: 1006)
    #expect(it.ledger.checkpoints.covered == nil)
    #expect(it.input == "abcdef")
    it.egress(5002, "z", ack: 1006)
    #expect(it.ledger.checkpoints.covered == state("one", consumed: 2, produced: 3))
    #expect(it.input == "cdef")
  }

  @Test func inputIsKeptFromTheCoveredCheckpointOn() {
    let it = LedgerFixture()
    it.ingress(1000, "abcdef")
    it.egress(5000, "xyz", ack: 1006)
    it.ledger.apply(.checkpoint(state("one", consumed: 1, produced: 3)))
    it.ledger.apply(.checkpoint(state("two", consumed: 4, produced: 5)))
    // Reading alone takes nothing away from a state that needs it.
    it.ledger.apply(.consumed(SequenceNumber(1006)))
    #expect(it.input == "bcdef" && it.ledger.input.consumed == 1)
    #expect(it.ledger.checkpoints.pending == [state("two", consumed: 4, produced: 5)])
    it.egress(5003, "!!", ack: 1006)
    #expect(it.ledger.checkpoints.covered == state("two", consumed: 4, produced: 5))
    #expect(it.input == "ef" && it.ledger.checkpoints.pending.isEmpty)
    // One that depends on no input lets it go.
    it.ledger.apply(.checkpoint(state("three")))
    #expect(it.input == "")
  }

  @Test func aStateFromAfterTheLastByteThatLeftIsForgottenAtTheTakeover() {
    let it = Self.confirming()
    it.ingress(1000, "abcdef")
    it.egress(5000, "xyz", ack: 1006)
    it.ledger.apply(.checkpoint(state("one", consumed: 1, produced: 3)))
    it.ledger.apply(.checkpoint(state("two", consumed: 4, produced: 9)))
    it.ledger.continueElsewhere()
    it.egress(5003, "abcdef", ack: 1006)
    #expect(it.ledger.checkpoints == CheckpointLedger(covered: state("one", consumed: 1, produced: 3)))
    #expect(it.input == "bcdef")
  }

  @Test func checkpointsThatAreNeverCoveredAreBoundedAndTheFirstIsKept() {
    let it = Self.confirming()
    for number in 1...100 { it.ledger.apply(.checkpoint(state("\(number)", produced: Int64(number)))) }
    #expect(it.ledger.checkpoints.pending.count == CheckpointLedger.pendingLimit)
    #expect(it.ledger.checkpoints.pending.last == state("100", produced: 100))
    it.egress(5000, "x", ack: 1000)
    #expect(it.ledger.checkpoints.covered == state("1", produced: 1))
    it.egress(5001, String(repeating: "x", count: 99), ack: 1000)
    #expect(it.ledger.checkpoints == CheckpointLedger(covered: state("100", produced: 100)))
  }

  @Test func aSegmentBeyondTheRetentionLimitHasNoRoom() {
    let it = Self.confirming()
    let reading = LedgerFixture()
    func hasNoRoom(_ it: LedgerFixture, end: Int) -> Bool {
      let header = SegmentHeader(
        sequence: SequenceNumber(1000) + (end - 1), acknowledgement: SequenceNumber(5000), window: 1, flags: .ack,
        hasTimestamp: false, timestampValue: 0)
      return [UInt8(0)].withUnsafeBytes { it.ledger.hasNoRoom(for: header, $0) }
    }
    #expect(!hasNoRoom(it, end: Ledger.retentionLimit) && hasNoRoom(it, end: Ledger.retentionLimit + 1))
    #expect(!hasNoRoom(reading, end: Ledger.retentionLimit + 1))
    it.ingress(1000, "abc")
    it.egress(5000, ack: 1003)
    it.ledger.apply(.confirmed(3))
    #expect(!hasNoRoom(it, end: Ledger.retentionLimit + 3) && hasNoRoom(it, end: Ledger.retentionLimit + 4))
  }

  /// A newcomer that gets the image folds on as whoever was there from the start.
  @Test(arguments: UInt64(0)..<40)
  func anImageCarriesCheckpointsAndRetention(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var model = ModelConnection(
      seed: seed, shape: .init(input: 6000, output: 6000, inputCloses: true, outputCloses: true, wraps: seed % 2 == 0))
    var baseline = model.baseline
    if random.chance(50) { baseline.identity.retention = .confirm }
    let first = Ledger(baseline)
    var second: Ledger?
    for step in 0..<4000 {
      func both(_ change: (Ledger) -> Void) {
        change(first)
        if let second { change(second) }
      }
      for event in model.step() {
        if case .consumed = event, baseline.identity.retention == .confirm { continue }
        both { $0.fold(event) }
      }
      if random.chance(2) {
        let confirmed = baseline.identity.retention == .confirm ? first.input.reportedOffset : first.input.consumed
        let consumed = max(confirmed, first.checkpoints.lowestConsumed) + Int64(random.below(50))
        let produced = max(first.output.sent, first.checkpoints.lowestProduced) + Int64(random.below(50))
        let checkpoint = Checkpoint(
          state: random.bytes(4), consumed: random.chance(80) ? consumed : nil,
          produced: random.chance(80) ? produced : nil)
        both { $0.apply(.checkpoint(checkpoint)) }
      }
      if random.chance(2) {
        let offset = first.input.consumed + Int64(random.below(100))
        both { $0.apply(.confirmed(offset)) }
      }
      if let second { #expect(second.image == first.image, "step \(step)") }
      if random.chance(1) { second = Ledger(first.image) }
      if let covered = first.checkpoints.covered {
        #expect(covered.consumed ?? 0 <= first.input.received && covered.produced ?? 0 <= first.output.sent)
        if let needed = covered.consumed { #expect(first.input.consumed <= needed) }
      }
      #expect(first.input.consumed <= first.input.received)
      if model.isDone { break }
    }
    #expect(second != nil)
  }
}
