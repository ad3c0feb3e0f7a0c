import TCPModel
import Testing

/// Input that lay in the socket out of order when the connection was registered: no packet brings it any more.
@Suite struct LedgerUnseenInputTests {
  @Test func anAcknowledgementOfWhatWasNeverSeenIsNoticedBefore() {
    let it = LedgerFixture()
    func lacks(_ acknowledgement: UInt32) -> Bool { it.ledger.input.lacks(upTo: SequenceNumber(acknowledgement)) }
    it.ingress(1000, "hel")
    #expect(!lacks(1003))
    #expect(lacks(1005))
    it.ingress(1003, "lo", flags: [.ack, .fin])
    #expect(!lacks(1006))
    #expect(lacks(1007))
  }

  @Test func whatIsReadFromTheSocketFillsTheGap() {
    let it = LedgerFixture()
    it.ingress(1000, "hel")
    it.ingress(1000, "hello")
    it.egress(5000, ack: 1005)
    #expect(it.input == "hello")
    #expect(it.ledger.obstacle == nil)
  }

  @Test func whatTheApplicationHasReadNeedNotBeHeld() {
    let it = LedgerFixture()
    it.ingress(1000, "hel")
    it.ledger.apply(.consumed(SequenceNumber(1007)))
    it.ingress(1007, "you")
    it.egress(5000, ack: 1010)
    #expect(it.input == "you")
    #expect(it.ledger.input.consumed == 7)
    #expect(it.ledger.obstacle == nil)
    it.ingress(1010, "!")
    it.egress(5000, ack: 1011)
    #expect(it.input == "you!")
  }

  @Test func whatNobodyHasIsAnObstacle() {
    let it = LedgerFixture()
    it.ingress(1000, "hel")
    it.egress(5000, ack: 1005)
    #expect(it.ledger.obstacle != nil)
  }
}
