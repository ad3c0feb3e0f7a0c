import Modelling
import TCPModel
import Testing

/// Input behind holes: how it is kept, and that there is a limit to it.
@Suite struct LedgerIslandTests {
  /// One byte at a time, for clarity: what a ledger must hold of segments that come in any order.
  private struct ByteModel {
    /// By distance from the first byte of the stream.
    var bytes = [UInt8?](repeating: nil, count: 2600)
    /// Everything below was read.
    var read = 0
    /// Everything below was acknowledged.
    var proven = 0
    /// Where the first hole is.
    var contiguous = 0
    /// Behind it.
    var islands: [Range<Int>] = []

    func hasNoRoom(_ range: Range<Int>) -> Bool {
      islands.count >= Islands.limit && range.lowerBound > contiguous
        && bytes[range.lowerBound - 1...range.upperBound].allSatisfy { $0 == nil }
    }

    mutating func fill(_ range: Range<Int>, with payload: [UInt8]) {
      for position in range where bytes[position] == nil { bytes[position] = payload[position - range.lowerBound] }
      while bytes[contiguous] != nil { contiguous += 1 }
      islands = []
      var start: Int?
      for position in contiguous..<bytes.count {
        if bytes[position] != nil {
          start = start ?? position
        } else if let first = start {
          islands.append(first..<position)
          start = nil
        }
      }
    }

    func candidates(from origin: SequenceNumber) -> [LedgerImage.Candidate] {
      let ranges = (contiguous > proven ? [proven..<contiguous] : []) + islands
      return ranges.map { range in
        .init(sequence: origin + range.lowerBound, bytes: range.compactMap { bytes[$0] }, fin: false)
      }
    }
  }

  private static func fixture(from origin: SequenceNumber, window: Int = 10_000) -> LedgerFixture {
    LedgerFixture { image in
      image.state.copiedSeq = origin
      image.state.rcvNxt = origin
      image.reportedConsumed = origin
      image.state.window.sendWindowUpdate = origin - 1
      image.state.window.receiveWindowUpdate = origin
      image.offeredEdge = origin + window
    }
  }

  private static func withSegment<Result>(
    at sequence: SequenceNumber, _ payload: [UInt8], flags: SegmentHeader.Flags = .ack,
    _ body: (SegmentHeader, UnsafeRawBufferPointer) -> Result
  ) -> Result {
    let header = SegmentHeader(
      sequence: sequence, acknowledgement: SequenceNumber(5000), window: 20_000, flags: flags)
    return payload.withUnsafeBytes { body(header, $0) }
  }

  private static func fold(_ ledger: Ledger, _ sequence: SequenceNumber, _ payload: [UInt8]) {
    withSegment(at: sequence, payload) { ledger.apply(.ingress($0, $1)) }
  }

  private static func hasNoRoom(
    _ ledger: Ledger, _ sequence: SequenceNumber, count: Int = 1, flags: SegmentHeader.Flags = .ack
  ) -> Bool {
    withSegment(at: sequence, [UInt8](repeating: 1, count: count), flags: flags) { ledger.hasNoRoom(for: $0, $1) }
  }

  /// One byte at every second sequence number from the third on, until there are so many islands.
  private static func fill(_ ledger: Ledger, from origin: SequenceNumber, islands: Int = Islands.limit) {
    for number in 0..<islands { fold(ledger, origin + 2 + 2 * number, [UInt8(truncatingIfNeeded: number)]) }
  }

  /// Random segments that overlap, touch, join and repeat, up to the limit and beyond it, acknowledged and read meanwhile; from a
  /// number at which the sequence wraps, too.
  @Test(arguments: 0..<8 as Range<UInt64>)
  func whatIsHeldIsWhatOneByteAtATimeWouldHold(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let origin = SequenceNumber(seed % 2 == 0 ? .max - 300 : 1000)
    let it = Self.fixture(from: origin)
    var model = ByteModel()
    var refused = 0
    for step in 0..<900 {
      switch random.below(40) {
      case 0:
        model.proven = random.within(model.proven...model.contiguous)
        it.egress(5000, ack: (origin + model.proven).rawValue)
      case 1:
        model.read = random.within(model.read...model.proven)
        it.ledger.apply(.consumed(origin + model.read))
      case 2:
        // The first hole.
        let range = model.contiguous..<model.contiguous + random.within(1...4)
        take(range)
      default:
        let start = random.below(2000)
        take(start..<start + (random.chance(96) ? 1 : random.within(1...40)))
      }
      func take(_ range: Range<Int>) {
        let payload = random.bytes(range.count)
        let hasNoRoom = Self.withSegment(at: origin + range.lowerBound, payload) { it.ledger.hasNoRoom(for: $0, $1) }
        #expect(hasNoRoom == model.hasNoRoom(range), "seed \(seed), step \(step): \(range)")
        // A ledger that is given it all the same stays as it is.
        Self.fold(it.ledger, origin + range.lowerBound, payload)
        if hasNoRoom { refused += 1 } else { model.fill(range, with: payload) }
      }
      let image = it.ledger.image
      guard image.candidates == model.candidates(from: origin),
        image.state.receiveQueue == (model.read..<model.proven).compactMap({ model.bytes[$0] }),
        model.islands.count <= Islands.limit
      else {
        Issue.record("seed \(seed), step \(step)")
        return
      }
      if step % 100 == 0 { #expect(Ledger(image).image == image, "seed \(seed), step \(step)") }
    }
    #expect(refused > 20, "seed \(seed): \(refused) segments without room")
    #expect(it.ledger.obstacle == nil)
  }

  /// Both hosts fold the same records, one of them from a baseline on that was taken in the middle; whatever is folded twice changes
  /// nothing.
  @Test(arguments: 0..<8 as Range<UInt64>)
  func bothHostsHoldTheSameAtTheLimit(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let origin = SequenceNumber(seed % 2 == 0 ? .max - 300 : 1000)
    let active = Self.fixture(from: origin)
    var standby = LedgerFixture(Ledger(active.ledger.image))
    for step in 0..<800 {
      let sequence = origin + random.below(2000)
      let payload = random.bytes(random.chance(96) ? 1 : random.within(1...60))
      for ledger in [active.ledger, standby.ledger] {
        Self.fold(ledger, sequence, payload)
        if random.chance(20) {
          let before = ledger.image
          Self.fold(ledger, sequence, payload)
          #expect(ledger.image == before, "seed \(seed), step \(step)")
        }
      }
      if random.chance(3) {
        let proven = active.ledger.input.contiguousSeq.rawValue
        for host in [active, standby] { host.egress(5000, ack: proven) }
      }
      if random.chance(1) { standby = LedgerFixture(Ledger(active.ledger.image)) }
    }
    #expect(active.ledger.image == standby.ledger.image, "seed \(seed)")
    #expect(active.ledger.image.candidates.count > Islands.limit / 2)
  }

  // MARK: The limit

  /// A peer that leaves one byte out and sends every second one after it.
  @Test func aHundredThousandIslandsCostAsMuchAsTheLimitOfThem() {
    let origin = SequenceNumber(.max - 100_000)
    let asking = Self.fixture(from: origin, window: 300_000)
    let taking = Self.fixture(from: origin, window: 300_000)
    var recorded = 0
    for number in 0..<100_000 {
      let sequence = origin + 2 + 2 * number
      // A host that asks, and one that is given everything.
      if !Self.hasNoRoom(asking.ledger, sequence) {
        Self.fold(asking.ledger, sequence, [1])
        recorded += 1
      }
      Self.fold(taking.ledger, sequence, [1])
    }
    #expect(recorded == Islands.limit)
    #expect(asking.ledger.image.candidates == taking.ledger.image.candidates)
    #expect(asking.ledger.image.candidates.count == Islands.limit)
    // The missing byte comes, and then the next.
    for number in 0..<2 { Self.fold(asking.ledger, origin + 2 * number, [7, 7]) }
    #expect(asking.ledger.image.candidates.count == Islands.limit - 1)
    #expect(asking.ledger.input.contiguousSeq == origin + 5)
  }

  /// How many elements a search looks at.
  @Test(arguments: [0, 1, 2, 3, 100, 255, Islands.limit])
  func aSearchAmongIslandsLooksAtFew(_ count: Int) {
    let sorted = Array(0..<count)
    for wanted in 0...count {
      var looks = 0
      let found = sorted.partitioningIndex {
        looks += 1
        return $0 >= wanted
      }
      #expect(found == wanted)
      #expect(looks <= Int.bitWidth - count.leadingZeroBitCount, "\(looks) of \(count)")
    }
    #expect(sorted.dropFirst(count / 2).partitioningIndex { $0 >= count / 2 } == count / 2)
  }

  @Test(arguments: [1000, .max - 200] as [UInt32])
  func oneIslandTooManyHasNoRoom(_ number: UInt32) {
    let origin = SequenceNumber(number)
    let it = Self.fixture(from: origin)
    Self.fill(it.ledger, from: origin, islands: Islands.limit - 1)
    let next = origin + 2 * Islands.limit
    #expect(!Self.hasNoRoom(it.ledger, next))
    Self.fold(it.ledger, next, [1])
    let last = next + 2
    #expect(Self.hasNoRoom(it.ledger, last) && Self.hasNoRoom(it.ledger, last, count: 1400))
    #expect(Self.hasNoRoom(it.ledger, last, flags: [.ack, .fin]))
    let before = it.ledger.image.candidates
    Self.fold(it.ledger, last, [9, 9])
    Self.withSegment(at: last, [9], flags: [.ack, .fin]) { it.ledger.apply(.ingress($0, $1)) }
    #expect(it.ledger.image.candidates == before)
  }

  @Test(arguments: [1000, .max - 200] as [UInt32])
  func whatTouchesWhatIsHeldHasRoom(_ number: UInt32) {
    let origin = SequenceNumber(number)
    let it = Self.fixture(from: origin)
    Self.fill(it.ledger, from: origin)
    let end = origin + 2 * Islands.limit + 1
    let segments: [(String, SequenceNumber, Int)] = [
      ("in order", origin, 1), ("in order, and over the first islands", origin, 5),
      ("repeated from before", origin - 3, 3), ("begun before", origin - 3, 6),
      ("an island again", origin + 2, 1), ("between two islands", origin + 3, 1), ("over three islands", origin + 4, 5),
      ("at the end of the last island", end, 100), ("over the last island", end - 1, 100),
      ("over all", origin, 2 * Islands.limit + 50), ("up to the first island", origin + 1, 1),
    ]
    for (name, sequence, count) in segments {
      #expect(!Self.hasNoRoom(it.ledger, sequence, count: count), "\(name)")
      let copy = Ledger(it.ledger.image)
      Self.fold(copy, sequence, [UInt8](repeating: 5, count: count))
      #expect(copy.image.candidates.count <= Islands.limit + 1, "\(name)")
    }
    // Two islands become one: there is room for one more.
    Self.fold(it.ledger, origin + 3, [1])
    #expect(!Self.hasNoRoom(it.ledger, end + 1))
    Self.fold(it.ledger, end + 1, [1])
    #expect(Self.hasNoRoom(it.ledger, end + 3))
  }

  /// Only what would become input is ever dropped for want of room.
  @Test func whatIsNoInputAlwaysHasRoom() {
    let origin = SequenceNumber(1000)
    let it = Self.fixture(from: origin)
    Self.fill(it.ledger, from: origin)
    let far = origin + 2000
    #expect(Self.hasNoRoom(it.ledger, far))
    #expect(
      !Self.hasNoRoom(it.ledger, far, count: 0) && !Self.hasNoRoom(it.ledger, far, count: 0, flags: [.ack, .fin]))
    #expect(!Self.hasNoRoom(it.ledger, far, flags: [.ack, .rst]) && !Self.hasNoRoom(it.ledger, far, flags: .syn))
    // Beyond the window: the kernel answers that, and takes nothing of it.
    #expect(!Self.hasNoRoom(it.ledger, origin + 10_001))
  }

  /// A ledger that has lost track of its input takes no part in what the socket takes: nothing could be continued from it.
  @Test func aBrokenLedgerStopsNobody() {
    let origin = SequenceNumber(1000)
    let it = Self.fixture(from: origin)
    Self.fill(it.ledger, from: origin)
    it.egress(5000, ack: 1005)
    #expect(it.ledger.obstacle != nil)
    Self.fold(it.ledger, origin + 3000, [1])
    #expect(!Self.hasNoRoom(it.ledger, origin + 3002))
    for number in 0..<1000 { Self.fold(it.ledger, origin + 3000 + 2 * number, [1]) }
    #expect(it.ledger.image.candidates.count <= Islands.limit)
  }

  /// The peer sends again what had no room; nothing is missing in the end.
  @Test func whatHadNoRoomComesAgain() {
    let origin = SequenceNumber(1000)
    let it = Self.fixture(from: origin)
    let stream = (0..<2000).map { UInt8(truncatingIfNeeded: $0 / 3) }
    var isHeld = [Bool](repeating: false, count: stream.count)
    func send(_ position: Int) {
      if Self.hasNoRoom(it.ledger, origin + position) { return }
      Self.fold(it.ledger, origin + position, [stream[position]])
      isHeld[position] = true
    }
    for position in stride(from: 1, to: stream.count, by: 2) { send(position) }
    #expect(isHeld.count { $0 } == Islands.limit)
    for position in stream.indices where !isHeld[position] { send(position) }
    #expect(isHeld.allSatisfy { $0 })
    it.egress(5000, ack: (origin + stream.count).rawValue)
    #expect(it.ledger.state.receiveQueue == stream)
    #expect(it.ledger.obstacle == nil)
  }
}
