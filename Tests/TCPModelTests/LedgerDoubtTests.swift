import TCPModel
import Testing

/// A ledger whose connection may have had packets that nobody recorded is compared with the socket. The fixture has received
/// "hello" at 1000 and sent "world" at 5000; the socket agrees unless a test says otherwise.
@Suite struct LedgerDoubtTests {
  private static func talking(acknowledging: Bool = true) -> LedgerFixture {
    let it = LedgerFixture()
    it.ingress(1000, "hello")
    it.egress(5000, "world", ack: acknowledging ? 1005 : 1000)
    return it
  }

  private static func survey(sndNxt: UInt32 = 5005, finSent: Bool = false, rcvNxt: UInt32 = 1005) -> LedgerSurvey {
    LedgerSurvey(
      sndNxt: SequenceNumber(sndNxt), finSent: finSent, sent: 5, rcvNxt: SequenceNumber(rcvNxt), finReceived: false,
      consumed: 0, unread: Array("hello".utf8), sendWindow: 20_000,
      timestamp: TimestampClock(value: 500, moment: 9, unit: .milliseconds), options: SocketOptions())
  }

  @Test func aSocketThatIsWhereItsLedgerIsMakesItTrue() {
    let it = Self.talking()
    #expect(it.ledger.agrees(with: Self.survey()))
    #expect(it.ledger.obstacle == nil)
    #expect(it.input == "hello" && it.output == "world")
  }

  /// The acknowledgement of recorded input may be what passed: the peer does not send those bytes again.
  @Test func inputThatTheSocketHasIsProven() {
    let it = Self.talking(acknowledging: false)
    #expect(it.input == "")
    #expect(it.ledger.agrees(with: Self.survey()))
    #expect(it.input == "hello" && it.ledger.state.rcvNxt.rawValue == 1005)
  }

  /// An offer of a larger window may have passed: what the peer sends by it is not forged.
  @Test func theLargestWindowIsTakenToBeOffered() {
    let it = Self.talking()
    #expect(it.ledger.agrees(with: Self.survey()))
    #expect(it.ledger.offeredEdge.rawValue == 1005 + 0xffff)
  }

  @Test(
    arguments: [
      (5006, false, 1005), (5004, false, 1005), (5006, true, 1005), (5005, false, 1006), (5005, false, 900),
    ] as [(UInt32, Bool, UInt32)])
  func aSocketThatIsElsewhereDoesNotAgree(sndNxt: UInt32, finSent: Bool, rcvNxt: UInt32) {
    let it = Self.talking()
    let before = it.ledger.image
    #expect(!it.ledger.agrees(with: Self.survey(sndNxt: sndNxt, finSent: finSent, rcvNxt: rcvNxt)))
    #expect(it.ledger.image == before)
  }

  @Test func aLedgerThatLacksSomethingDoesNotAgree() {
    let broken = LedgerFixture { $0.isBroken = true }
    #expect(!broken.ledger.agrees(with: Self.survey(sndNxt: 5000, rcvNxt: 1000)))
    let gap = LedgerGap(output: SequenceNumber(5000), input: 0, needsConfirmation: false, needsCheckpoint: false)
    let begun = LedgerFixture(Ledger(LedgerFixture().ledger.image, gap: gap))
    #expect(!begun.ledger.agrees(with: Self.survey(sndNxt: 5000, rcvNxt: 1000)))
  }

  /// A standby knows of the connection, resets it if it comes to that, and is not misled by records that follow.
  @Test func aStandInIsNeverContinued() {
    let it = LedgerFixture(Self.talking().ledger.standIn)
    #expect(it.ledger.obstacle != nil && it.output == "" && it.input == "")
    it.egress(5005, "more", ack: 1005)
    it.ingress(1005, "more", ack: 5009)
    it.egress(5009, ack: 1009)
    #expect(it.ledger.obstacle != nil && it.output == "")
  }

  @Test(arguments: [
    (LedgerGap.Cause.daemonCrash, "the daemon has crashed"),
    (.unrecordedPackets, "packets may have passed unrecorded"),
  ])
  func theReasonSaysWhatHasHappened(cause: LedgerGap.Cause, words: String) {
    let gap = LedgerGap(
      output: SequenceNumber(1), input: 7, needsConfirmation: true, needsCheckpoint: false, cause: cause)
    #expect(gap.reason.hasPrefix(words) && gap.reason.contains("confirm 7"))
  }
}
