import Modelling
import TCPModel
import Testing

@Suite struct SequenceNumberTests {
  /// Places where arithmetic modulo 2^32 goes wrong when it does.
  static let corners: [UInt32] = [0, 1, 2, 0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, .max - 1, .max]

  @Test(arguments: corners)
  func anOffsetIsTheDistanceThatItMakes(_ origin: UInt32) {
    var random = SeededGenerator(seed: UInt64(origin))
    let start = SequenceNumber(origin)
    for offset in [0, 1, -1, Int(Int32.max), Int(Int32.min) + 1]
      + (0..<60).map({ _ in random.below(1 << 31) - (1 << 30) })
    {
      let moved = start + offset
      #expect(moved.distance(from: start) == offset)
      #expect(start.distance(from: moved) == -offset)
      #expect(moved - offset == start)
      #expect(moved.isAfter(start) == (offset > 0))
      #expect(moved.isBefore(start) == (offset < 0))
      #expect(SequenceNumber.latest(start, moved) == (offset > 0 ? moved : start))
      #expect(SequenceNumber.earliest(start, moved) == (offset < 0 ? moved : start))
    }
  }

  @Test func theOrderIsThatOfTheStreamAcrossTheWrap() {
    let beforeWrap = SequenceNumber(.max - 9)
    let afterWrap = beforeWrap + 20
    #expect(afterWrap.rawValue == 10)
    #expect(beforeWrap.isBefore(afterWrap))
    #expect(afterWrap.distance(from: beforeWrap) == 20)
  }

  @Test func stepsAddUpWhereverTheyAreCut() {
    var random = SeededGenerator(seed: 1)
    for _ in 0..<300 {
      let start = SequenceNumber(UInt32(truncatingIfNeeded: random.next()))
      let first = random.below(1 << 29)
      let second = random.below(1 << 29)
      #expect(start + first + second == start + (first + second))
      var stepped = start
      stepped += first
      stepped += second
      #expect(stepped.distance(from: start) == first + second)
    }
  }

  @Test func moreThanAWholeTurnIsTakenModulo() {
    #expect(SequenceNumber(5) + (1 << 32) == SequenceNumber(5))
    #expect(SequenceNumber(5) - (3 << 32) - 6 == SequenceNumber(.max))
  }
}
