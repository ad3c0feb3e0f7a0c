import Modelling
import TCPModel
import Testing

@Suite struct LedgerOutputTests {
  @Test func outputIsWhatLeftAndIsNotAcknowledged() {
    let it = LedgerFixture()
    it.egress(5000, "hello ")
    it.egress(5006, "world")
    #expect(it.output == "hello world")
    #expect(it.ledger.output.sent == 11)
    it.ingress(1000, ack: 5004)
    #expect(it.output == "o world")
    it.ingress(1000, ack: 5002)
    #expect(it.output == "o world")
    #expect(it.ledger.output.sndUna == SequenceNumber(5004))
  }

  @Test func retransmissionsInAnyPiecesAddNothing() {
    let it = LedgerFixture()
    it.egress(5000, "hello ")
    it.egress(5006, "world")
    it.egress(5000, "hel")
    it.egress(5003, "lo wo")
    it.egress(5008, "rld and more")
    #expect(it.output == "hello world and more")
    #expect(it.ledger.output.sent == 20)
  }

  /// A keepalive or a window probe stands one below what was sent, and carries nothing.
  @Test func probesAddNothing() {
    let it = LedgerFixture()
    it.egress(4999)
    it.egress(5000, "x")
    it.egress(4999)
    #expect(it.output == "x")
    #expect(it.ledger.obstacle == nil)
  }

  @Test func aHoleInTheOutputMakesItUnusable() {
    let it = LedgerFixture()
    it.egress(5000, "a")
    it.egress(5002, "c")
    #expect(it.ledger.obstacle != nil)
  }

  @Test func ourFinTakesOneNumberAndNoOffset() {
    let it = LedgerFixture()
    it.egress(5000, "bye", flags: [.ack, .fin])
    #expect(it.ledger.state.finSent)
    #expect(it.ledger.output.sndNxt == SequenceNumber(5004))
    #expect(it.ledger.output.sent == 3)
    it.egress(5000, "bye", flags: [.ack, .fin])
    it.egress(5003, flags: [.ack, .fin])
    #expect(it.ledger.output.sndNxt == SequenceNumber(5004))
    it.ingress(1000, ack: 5003)
    #expect(it.output == "")
    #expect(it.ledger.output.isFinAcknowledged == false)
    #expect(it.ledger.output.unacknowledgedCount == 1)
    it.ingress(1000, ack: 5004)
    #expect(it.ledger.output.isFinAcknowledged == true)
    it.egress(5004, ack: 1000)
    #expect(it.ledger.obstacle == nil)
    #expect(Ledger(it.ledger.image).image == it.ledger.image)
  }

  @Test func outputFromBeforeTheRegistrationCountsBelowZero() {
    let it = LedgerFixture { $0.sent = -5 }
    #expect(it.ledger.obstacle != nil)
    it.egress(5000, "abc")
    #expect(it.ledger.obstacle != nil)
    it.egress(5003, "def")
    #expect(it.ledger.obstacle == nil)
    #expect(it.ledger.output.sent == 1)
  }

  // MARK: Windows

  @Test func thePeersWindowFollowsTheKernelsRule() {
    let it = LedgerFixture { $0.state.negotiated.sendWindowScale = 3 }
    it.egress(5000, "0123456789")
    it.ingress(1000, ack: 5002, window: 100)
    #expect(it.ledger.window.sendWindow == 800)
    // The same place, a larger window: yes; a smaller one is an old packet: no.
    it.ingress(1000, ack: 5002, window: 200)
    #expect(it.ledger.window.sendWindow == 1600)
    it.ingress(1000, ack: 5002, window: 150)
    #expect(it.ledger.window.sendWindow == 1600)
    // An acknowledgement from before says nothing.
    it.ingress(1000, ack: 5001, window: 4000)
    #expect(it.ledger.window.sendWindow == 1600)
    #expect(it.ledger.window.maximumWindow == 20_000)
    it.ingress(1000, ack: 5010, window: .max)
    #expect(it.ledger.window.sendWindow == 8 * 65_535)
    #expect(it.ledger.window.maximumWindow == 8 * 65_535)
  }

  /// A peer that is full says so at the same place (Linux believes it since 6.6), and says when it is not any more.
  @Test func aWindowMayCloseAndOpenWhereItStands() {
    let it = LedgerFixture()
    it.egress(5000, "0123456789")
    it.ingress(1000, ack: 5010, window: 100)
    it.ingress(1000, ack: 5010, window: 0)
    #expect(it.ledger.window.sendWindow == 0)
    it.ingress(1000, ack: 5010, window: 500)
    #expect(it.ledger.window.sendWindow == 500)
  }

  @Test func ourOfferIsTheLastOneAndItsEdgeNeverMovesBack() {
    let it = LedgerFixture { $0.state.negotiated.receiveWindowScale = 2 }
    it.ingress(1000, String(repeating: "x", count: 3000))
    it.egress(5000, ack: 2000, window: 2500)
    #expect(it.ledger.window.receiveWindow == 10_000)
    #expect(it.ledger.offeredEdge == SequenceNumber(12_000))
    it.egress(5000, ack: 4000, window: 0)
    #expect(it.ledger.window.receiveWindow == 0)
    #expect(it.ledger.offeredEdge == SequenceNumber(12_000))
    // A packet that was told to go before the last one says nothing of the window.
    it.egress(5000, ack: 3000, window: 60_000)
    #expect(it.ledger.window.receiveWindow == 0)
  }

  // MARK: Timestamps, resets, urgent data

  @Test func theLastTimestampThatLeftIsKnown() {
    let it = LedgerFixture()
    it.egress(5000, "a", stamp: 150, now: 7)
    it.egress(5000, "a", stamp: 120, now: 9)
    #expect(it.ledger.timestamp.value == 150)
    #expect(it.ledger.timestamp.moment == 7)
  }

  @Test func thePeersTimestampIsOfTheLastInOrderSegment() {
    let it = LedgerFixture()
    it.ingress(1000, "a", stamp: 70)
    it.ingress(1500, "z", stamp: 90)
    #expect(it.ledger.peerTimestamp == 70)
  }

  @Test func aResetFromThePeerCountsAtTheExactNumber() {
    for (sequence, counts) in [
      (UInt32(999), false), (1000, true), (1003, true), (1005, true), (1006, false), (10_900, false),
    ] {
      let it = LedgerFixture()
      it.ingress(1000, "hello")
      it.ingress(sequence, flags: [.rst, .ack])
      #expect(it.ledger.wasReset == counts, "at \(sequence)")
    }
  }

  @Test func aResetThatWeSendEndsTheConnection() {
    let it = LedgerFixture()
    it.egress(5000, flags: [.rst, .ack])
    #expect(it.ledger.wasReset)
    #expect(it.ledger.obstacle != nil)
    #expect(Ledger(it.ledger.image).wasReset)
  }

  @Test func urgentDataCannotBeContinued() {
    let it = LedgerFixture()
    it.ingress(1000, "a", flags: [.ack, .urg])
    #expect(it.ledger.obstacle != nil)
    #expect(Ledger(it.ledger.image).obstacle != nil)
  }

  /// What is sent again from the standby lacks the mark: the peer would find the byte among the others.
  @Test func ourOwnUrgentDataCannotEither() {
    let it = LedgerFixture()
    it.egress(5000, "a", flags: [.ack, .urg])
    #expect(it.ledger.obstacle != nil)
  }
}
