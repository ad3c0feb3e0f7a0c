import Modelling
import TCPModel
import Testing

/// The candidate rule: what arrives is not input until the host's own kernel has said so.
@Suite struct LedgerInputTests {
  @Test func nothingUnprovenIsInput() {
    let it = LedgerFixture()
    it.ingress(1000, "hello")
    #expect(it.input == "")
    #expect(it.ledger.input.received == 0)
    it.egress(5000, ack: 1003)
    #expect(it.input == "hel")
    #expect(it.ledger.input.received == 3)
    it.egress(5000, ack: 1005)
    #expect(it.input == "hello")
  }

  @Test func theFirstGoodCopyOfAByteWins() {
    let it = LedgerFixture()
    it.ingress(1002, "CD")
    it.ingress(1000, "abxyef")
    it.ingress(1000, "??????")
    it.egress(5000, ack: 1006)
    #expect(it.input == "abCDef")
  }

  @Test func anAcknowledgementIsNotTakenBack() {
    let it = LedgerFixture()
    it.ingress(1000, "hello")
    it.egress(5000, ack: 1005)
    it.egress(5000, ack: 1002)
    #expect(it.input == "hello")
    #expect(it.ledger.window.receiveWindowUpdate == SequenceNumber(1005))
  }

  @Test(arguments: [
    // Before the window, behind it; acknowledging what was never sent, or what was acknowledged a window and more ago.
    (UInt32(900), UInt32(5000)), (11_001, 5000), (1000 &- (1 << 31), 5000), (1000, 5001), (1000, 5000 &- 20_001),
    (1000, 5000 &- (1 << 31)),
  ])
  func aForgedPacketThatTheKernelRefusesChangesNothing(_ sequence: UInt32, _ ack: UInt32) {
    let it = LedgerFixture()
    let before = it.ledger.image
    it.ingress(sequence, "forged", ack: ack, window: 1, stamp: 99)
    #expect(it.ledger.image == before)
    it.ingress(sequence, "forged", ack: ack, window: 1, flags: [.ack, .fin])
    #expect(it.ledger.image == before)
    it.ingress(1000, "genuine")
    it.egress(5000, ack: 1007)
    #expect(it.input == "genuine")
    #expect(it.ledger.obstacle == nil)
  }

  @Test func segmentsWithoutAcknowledgementOrWithSynAreNotInput() {
    let it = LedgerFixture()
    let before = it.ledger.image
    it.ingress(1000, "forged", flags: [])
    it.ingress(1000, "forged", flags: .syn)
    it.ingress(1000, "forged", flags: [.syn, .ack])
    #expect(it.ledger.image == before)
  }

  /// What lies far beyond the offered window is not stored: memory is bounded by what the host itself has offered.
  @Test func bytesBeyondTheWindowAreNotKept() {
    let it = LedgerFixture()
    it.ingress(11_000, String(repeating: "x", count: 80_000))
    let kept = it.ledger.image.candidates.map(\.bytes.count).reduce(0, +)
    #expect(kept <= 65_536)
  }

  @Test func aByteThatWasProvenButNeverSeenMakesTheInputUnusable() {
    let it = LedgerFixture()
    it.ingress(1000, "ab")
    it.ingress(1003, "d")
    it.egress(5000, ack: 1004)
    #expect(it.ledger.obstacle != nil)
    let image = it.ledger.image
    #expect(Ledger(image).obstacle != nil)
    // It stays so, even when the byte comes later: nobody knows what was read meanwhile.
    it.ingress(1002, "c")
    #expect(it.ledger.obstacle != nil)
  }

  // MARK: Consumption

  @Test func whatWasReadIsTrimmed() {
    let it = LedgerFixture()
    it.ingress(1000, "hello")
    it.egress(5000, ack: 1005)
    it.ledger.apply(.consumed(SequenceNumber(1002)))
    #expect(it.input == "llo")
    #expect(it.ledger.input.consumed == 2)
    #expect(it.ledger.input.received == 5)
    it.ledger.apply(.consumed(SequenceNumber(1001)))
    #expect(it.input == "llo")
  }

  /// An application reads before its kernel has acknowledged: the peer would send those bytes again after a failover.
  @Test func readingAheadOfTheProofCountsWhenTheProofComes() {
    let it = LedgerFixture()
    it.ingress(1000, "hello world")
    it.ledger.apply(.consumed(SequenceNumber(1006)))
    #expect(it.ledger.input.consumed == 0)
    it.egress(5000, ack: 1004)
    #expect(it.ledger.input.consumed == 4)
    #expect(it.input == "")
    let copy = Ledger(it.ledger.image)
    it.egress(5000, ack: 1011)
    #expect(it.ledger.input.consumed == 6)
    #expect(it.input == "world")
    let header = SegmentHeader(
      sequence: SequenceNumber(5000), acknowledgement: SequenceNumber(1011), window: 10_000, flags: .ack)
    copy.apply(.egress(header, UnsafeRawBufferPointer(start: nil, count: 0), at: 0))
    #expect(copy.image == it.ledger.image)
  }

  @Test func islandsMoveWithWhatIsConsumed() {
    let it = LedgerFixture()
    it.ingress(1000, "aaaa")
    it.ingress(1006, "cc")
    it.ingress(1010, "ee")
    it.egress(5000, ack: 1004)
    it.ledger.apply(.consumed(SequenceNumber(1003)))
    it.ingress(1008, "dd")
    it.ingress(1004, "bb")
    it.egress(5000, ack: 1012)
    #expect(it.input == "abbccddee")
  }

  // MARK: The peer's FIN

  @Test func aFinIsReceivedOnceItIsAcknowledged() {
    let it = LedgerFixture()
    it.ingress(1000, "bye", flags: [.ack, .fin])
    it.egress(5000, ack: 1003)
    #expect(!it.ledger.state.finReceived)
    it.egress(5000, ack: 1004)
    #expect(it.ledger.state.finReceived)
    #expect(it.input == "bye")
    #expect(it.ledger.input.received == 3)
    it.ledger.apply(.consumed(SequenceNumber(1004)))
    #expect(it.ledger.input.consumed == 3)
    #expect(it.ledger.state.copiedSeq == SequenceNumber(1003))
  }

  @Test func aFinMayComeBeforeItsBytes() {
    let it = LedgerFixture()
    it.ingress(1003, "", flags: [.ack, .fin])
    it.ingress(1000, "bye")
    it.egress(5000, ack: 1004)
    #expect(it.ledger.state.finReceived)
    #expect(it.input == "bye")
  }

  /// A FIN in the middle of the stream was forged: the kernel has acknowledged bytes behind it.
  @Test func aFinThatTheStreamGoesBeyondWasNone() {
    let it = LedgerFixture()
    it.ingress(1004, "", flags: [.ack, .fin])
    it.ingress(1000, "hello world")
    it.egress(5000, ack: 1004)
    it.egress(5000, ack: 1011)
    #expect(!it.ledger.state.finReceived)
    #expect(it.input == "hello world")
    it.ingress(1011, "!", flags: [.ack, .fin])
    it.egress(5000, ack: 1013)
    #expect(it.ledger.state.finReceived)
    #expect(it.input == "hello world!")
    #expect(it.ledger.obstacle == nil)
  }

  @Test func ofTwoFinsTheOneThatIsAcknowledgedCounts() {
    let it = LedgerFixture()
    it.ingress(1200, "", flags: [.ack, .fin])
    it.ingress(1000, "bye", flags: [.ack, .fin])
    it.egress(5000, ack: 1004)
    #expect(it.ledger.state.finReceived)
    #expect(it.input == "bye")
    #expect(it.ledger.obstacle == nil)
  }

  @Test func queuesWrapWithTheSequenceNumbers() {
    let it = LedgerFixture { image in
      image.state.copiedSeq = SequenceNumber(.max - 2)
      image.state.rcvNxt = SequenceNumber(.max - 2)
      image.reportedConsumed = SequenceNumber(.max - 2)
      image.state.window.receiveWindowUpdate = SequenceNumber(.max - 2)
      image.offeredEdge = SequenceNumber(.max - 2) + 10_000
    }
    it.ingress(.max, "c")
    it.ingress(0, "def")
    it.ingress(.max - 2, "ab")
    it.egress(5000, ack: 3)
    #expect(it.input == "abcdef")
    it.ledger.apply(.consumed(SequenceNumber(1)))
    #expect(it.input == "ef")
    #expect(it.ledger.input.consumed == 4)
  }
}
