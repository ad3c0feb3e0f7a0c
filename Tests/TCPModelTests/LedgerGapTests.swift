import TCPModel
import Testing

/// A ledger that a daemon began in the middle of a connection, after its predecessor's crash. The socket is 600 bytes further than it
/// was at registration in both directions, and 40 bytes of output are under way.
@Suite struct LedgerGapTests {
  private static func begin(
    unread: String = "", retention: ConnectionIdentity.Retention = .read, hadCheckpoint: Bool = false,
    finSent: Bool = false
  ) -> LedgerFixture {
    let before = LedgerFixture()
    let survey = LedgerSurvey(
      sndNxt: SequenceNumber(5600), finSent: finSent, sent: 600, rcvNxt: SequenceNumber(1600), finReceived: false,
      consumed: 600 - Int64(unread.utf8.count), unread: Array(unread.utf8), sendWindow: 7000,
      timestamp: TimestampClock(value: 500, moment: 9, unit: .milliseconds), options: SocketOptions())
    let (image, _) = before.ledger.outline.begun(
      at: survey, wasAdopted: true, hadCheckpoint: hadCheckpoint, cause: .daemonCrash)
    let gap = LedgerGap(
      output: survey.sndNxt, input: survey.consumed, needsConfirmation: retention == .confirm,
      needsCheckpoint: hadCheckpoint)
    return LedgerFixture(Ledger(image, gap: gap))
  }

  @Test func itIsClosedByAPacketEachWay() throws {
    let it = Self.begin(unread: "hello")
    #expect(it.ledger.gap?.losesInput == false)
    #expect(it.ledger.obstacle == it.ledger.gap?.reason)
    it.egress(5599, ack: 1600, window: 3000, stamp: 501)
    #expect(it.ledger.gap != nil)
    // The peer lacks the last 40 bytes.
    it.ingress(1600, ack: 5560, window: 4000, stamp: 77)
    #expect(it.ledger.gap != nil)
    it.ingress(1600, ack: 5600, window: 4000, stamp: 78)
    #expect(it.ledger.gap == nil && it.ledger.obstacle == nil)
    let state = it.ledger.state
    #expect(it.input == "hello" && it.output == "")
    #expect(state.sndUna.rawValue == 5600 && state.rcvNxt.rawValue == 1600 && state.copiedSeq.rawValue == 1595)
    #expect(state.window.sendWindow == 4000 && state.window.receiveWindow == 3000)
    #expect(it.ledger.offeredEdge.rawValue == 4600)
    #expect(it.ledger.peerTimestamp == 78 && state.timestamp.value == 501)
    #expect(it.ledger.input.consumed == 595 && it.ledger.output.sent == 600)
  }

  /// Retransmissions of what is not held say nothing new; what follows is recorded whole.
  @Test func whatIsSentMeanwhileIsHeld() {
    let it = Self.begin()
    it.egress(5560, String(repeating: "x", count: 40), ack: 1600)
    it.egress(5600, "new", ack: 1600)
    it.ingress(1600, "in", ack: 5600)
    #expect(it.ledger.gap == nil)
    #expect(it.output == "new")
    it.egress(5603, ack: 1602)
    it.ingress(1602, ack: 5603)
    #expect(it.input == "in" && it.output == "" && it.ledger.obstacle == nil)
  }

  /// Before a packet has said so nobody knows how much the peer may send: what it sends is taken, up to the largest window.
  @Test func theWindowIsNotKnownToBeSmall() {
    let it = Self.begin()
    let input = String(repeating: "y", count: 30_000)
    it.ingress(1600, input, ack: 5600)
    it.egress(5600, ack: 31_600)
    #expect(it.input == input && it.ledger.obstacle == nil)
  }

  /// Input that had come out of order before the ledger was begun is read from the socket. The peer has not answered by that.
  @Test func inputThatIsReadFromTheSocketIsNoAnswerOfThePeer() {
    let it = Self.begin()
    it.egress(5600, "more", ack: 1600, window: 3000)
    let header = it.ledger.headerOfUnseenInput(at: SequenceNumber(1600), isEnded: false)
    Array("hello".utf8).withUnsafeBytes { it.ledger.apply(.ingress(header, $0)) }
    it.egress(5604, ack: 1605)
    #expect(it.input == "hello")
    #expect(it.ledger.gap?.needsIngress == true && it.ledger.obstacle != nil)
    // 40 bytes of what was under way have not arrived there.
    it.ingress(1605, ack: 5560)
    #expect(it.ledger.obstacle != nil)
    it.ingress(1605, ack: 5600)
    #expect(it.ledger.obstacle == nil && it.output == "more")
    // Nothing is missing: the header repeats what the peer has said.
    #expect(it.ledger.headerOfUnseenInput(at: SequenceNumber(1605), isEnded: true).acknowledgement.rawValue == 5600)
  }

  @Test func aFinThatIsUnderWayIsWaitedFor() {
    let it = Self.begin(finSent: true)
    it.egress(5599, ack: 1600)
    it.ingress(1600, ack: 5599)
    #expect(it.ledger.gap != nil)
    it.ingress(1600, ack: 5600)
    #expect(it.ledger.gap == nil)
    #expect(it.ledger.state.finSent && it.ledger.state.sndUna == it.ledger.state.sndNxt)
  }

  @Test func unconfirmedInputHasToBeConfirmed() {
    let it = Self.begin(unread: "ab", retention: .confirm)
    it.egress(5600, ack: 1600)
    it.ingress(1600, ack: 5600)
    #expect(it.ledger.gap?.losesInput == true)
    it.ledger.apply(.confirmed(590))
    #expect(it.ledger.obstacle?.contains("confirm 598 or more") == true)
    it.ledger.apply(.confirmed(598))
    #expect(it.ledger.obstacle == nil && it.input == "ab")
    it.ledger.apply(.confirmed(599))
    #expect(it.input == "b")
  }

  @Test func aCheckpointHasToBeMadeAgain() {
    let it = Self.begin(hadCheckpoint: true)
    it.egress(5600, ack: 1600)
    it.ingress(1600, ack: 5600)
    it.ledger.apply(.checkpoint(Checkpoint(state: [1], consumed: 599, produced: 600)))
    #expect(it.ledger.checkpoints.isEmpty)
    #expect(it.ledger.obstacle?.contains("checkpoint") == true)
    it.ledger.apply(.checkpoint(Checkpoint(state: [2], consumed: 600, produced: 600)))
    #expect(it.ledger.checkpoints.covered?.state == [2])
    #expect(it.ledger.obstacle == nil)
  }

  @Test func aStateThatNeedsNoInputIsOfUse() {
    let it = Self.begin(hadCheckpoint: true)
    it.egress(5600, ack: 1600)
    it.ingress(1600, ack: 5600)
    it.ledger.apply(.checkpoint(Checkpoint(state: [3])))
    #expect(it.ledger.checkpoints.covered?.state == [3] && it.ledger.obstacle == nil)
  }

  @Test func anOutlineHasNothingInItsQueues() {
    let it = LedgerFixture()
    it.ingress(1000, "hello", ack: 5000)
    it.egress(5000, "world", ack: 1005)
    it.ingress(1005, "more", ack: 5000)
    let outline = it.ledger.outline
    #expect(outline.state.sendQueue.isEmpty && outline.state.receiveQueue.isEmpty && outline.candidates.isEmpty)
    #expect(outline.identity == it.ledger.identity && outline.state.negotiated == it.ledger.negotiated)
    #expect(Ledger(outline).obstacle == nil)
  }
}
