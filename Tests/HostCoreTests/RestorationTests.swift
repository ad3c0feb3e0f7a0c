import HostCore
import Modelling
import TCPModel
import Testing

/// The order in which connections are continued, with ledgers whose peers are further than they say.
@Suite struct RestorationTests {
  /// A ledger with `unacknowledged` bytes in flight; segments have 100 bytes at most.
  private static func ledger(_ number: UInt64, unacknowledged: Int) -> Ledger {
    let (origin, peer) = (SequenceNumber(.max - 100), SequenceNumber(5000))
    let flow = Flow(
      local: Endpoint(address: IPAddress(v4: 0x0a4d_0064), port: 80),
      peer: Endpoint(address: IPAddress(v4: 0x0a4d_0002), port: UInt16(2000 + number)))
    let ledger = Ledger(
      LedgerImage(
        registering: ConnectionState(
          flow: flow, isMapped: false,
          negotiated: NegotiatedOptions(
            maximumSegmentSize: 100, sendWindowScale: 0, receiveWindowScale: 0, windowScaling: false,
            selectiveAcknowledgements: true, timestampUnit: .milliseconds),
          sndUna: origin, sndNxt: origin, sendQueue: [], finSent: false, copiedSeq: peer, rcvNxt: peer,
          receiveQueue: [], finReceived: false,
          window: WindowState(
            sendWindowUpdate: peer - 1, sendWindow: 60_000, maximumWindow: 60_000, receiveWindow: 60_000,
            receiveWindowUpdate: peer),
          timestamp: TimestampClock(value: 1, moment: 0, unit: .milliseconds), options: SocketOptions()),
        as: ConnectionIdentity(id: number, service: "test", key: nil, retention: .read), unsent: 0))
    let payload = [UInt8](repeating: 1, count: unacknowledged)
    payload.withUnsafeBytes { bytes in
      let header = SegmentHeader(
        sequence: origin, acknowledgement: peer, window: 60_000, flags: .ack, hasTimestamp: true, timestampValue: 2)
      if unacknowledged > 0 { ledger.apply(.egress(header, bytes, at: 1)) }
    }
    return ledger
  }

  private static func book(_ ledgers: [Ledger]) -> LedgerBook {
    var book = LedgerBook()
    for ledger in ledgers { book.insert(ledger) }
    return book
  }

  private func names(_ orders: [Restoration.Order]) -> [String] {
    orders.map {
      switch $0 {
      case .ask(let ledger): "ask \(ledger.identity.id)"
      case .restore(let ledger, let boundary, let wasAnswered):
        "restore \(ledger.identity.id) sent \(boundary.distance(from: ledger.output.sndUna))\(wasAnswered ? " answered" : "")"
      case .lose(let ledger, _): "lose \(ledger.identity.id)"
      }
    }
  }

  private func acknowledgement(_ ledger: Ledger, _ count: Int) -> SegmentHeader {
    SegmentHeader(
      sequence: ledger.input.rcvNxt, acknowledgement: ledger.output.sndUna + count, window: 60_000, flags: .ack)
  }

  private let nothing = UnsafeRawBufferPointer(start: nil, count: 0)

  /// Ten segments go out at once anyway; behind them it matters where the peer is.
  @Test func whoHasMuchInFlightIsAskedAndTheOthersNeedNotWait() {
    let ledgers = [(1, 0), (2, 1000), (3, 1001)].map { Self.ledger($0, unacknowledged: $1) }
    var plan = Restoration(of: Self.book(ledgers))
    let orders = names(plan.begin(now: 1_000_000_000))
    #expect(orders.first == "ask 3" && Set(orders) == ["ask 3", "restore 1 sent 0", "restore 2 sent 0"])
    #expect(plan.isWaiting && plan.nextLook == 1_010_000_000)
  }

  @Test func theAnswerTellsWhereToGoOn() throws {
    let ledger = Self.ledger(1, unacknowledged: 5000)
    var plan = Restoration(of: Self.book([ledger]))
    _ = plan.begin(now: 0)
    let header = acknowledgement(ledger, 3000)
    let order = plan.take(header, nothing, selective: nil, of: ledger)
    let answer = try #require(order)
    #expect(names([answer]) == ["restore 1 sent 0 answered"] && ledger.output.unacknowledgedCount == 2000)
    #expect(!plan.isWaiting && plan.nextLook == nil)
    // A second one waits for the socket.
    let second = plan.take(header, nothing, selective: nil, of: ledger)
    #expect(second == nil)
    plan.settle(ledger)
    let left = plan.ledgers.count
    #expect(left == 0)
  }

  /// Behind a hole the peer holds more than it acknowledges.
  @Test func whatThePeerHoldsBehindAHoleCountsAsSent() throws {
    let ledger = Self.ledger(1, unacknowledged: 5000)
    var plan = Restoration(of: Self.book([ledger]))
    _ = plan.begin(now: 0)
    let header = acknowledgement(ledger, 1000)
    let held = header.acknowledgement + 1500
    let order = plan.take(header, nothing, selective: held, of: ledger)
    let answer = try #require(order)
    #expect(names([answer]) == ["restore 1 sent 1500 answered"])
    // Nobody can hold what was never sent.
    let other = Self.ledger(2, unacknowledged: 5000)
    var second = Restoration(of: Self.book([other]))
    _ = second.begin(now: 0)
    let claim = second.take(acknowledgement(other, 0), nothing, selective: other.output.sndNxt + 9000, of: other)
    let lie = try #require(claim)
    #expect(names([lie]) == ["restore 2 sent 5000 answered"])
  }

  /// An old acknowledgement is no position.
  @Test func whatIsNoAnswerWaits() {
    let ledger = Self.ledger(1, unacknowledged: 5000)
    var plan = Restoration(of: Self.book([ledger]))
    _ = plan.begin(now: 0)
    let old = acknowledgement(ledger, -50)
    let order = plan.take(old, nothing, selective: nil, of: ledger)
    #expect(order == nil && plan.isWaiting)
  }

  /// It is asked again for 120 ms, and then goes on with everything counted as sent.
  @Test func whoDoesNotAnswerIsNotWaitedForForEver() {
    let ledger = Self.ledger(1, unacknowledged: 5000)
    var plan = Restoration(of: Self.book([ledger]))
    let start: UInt64 = 7_000_000_000
    var asked = names(plan.begin(now: start)).count
    var last: [String] = []
    var looks = 0
    while let next = plan.nextLook, looks < 20 {
      let early = plan.look(now: next - 1)
      #expect(early.isEmpty)
      last = names(plan.look(now: next))
      if plan.isWaiting { asked += last.count }
      looks += 1
    }
    #expect(asked == 5 && last == ["restore 1 sent 5000"])
  }

  @Test func anObstacleIsEverybodysAndFirst() {
    var plan = Restoration(
      of: Self.book([Self.ledger(1, unacknowledged: 0), Self.ledger(2, unacknowledged: 9000)]), obstacle: "they are old"
    )
    let orders = names(plan.begin(now: 0))
    #expect(Set(orders) == ["lose 1", "lose 2"])
    #expect(!plan.isWaiting)
  }
}
