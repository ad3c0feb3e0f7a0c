import Testing

@testable import HoldfastProxy

@Suite struct ResumePointTests {
  private func resume(
    front: (consumed: Int, sent: Int), back: (consumed: Int, sent: Int), header: Int = 0
  ) -> ResumePoint? {
    ResumePoint(
      front: ResumePoint.Leg(consumed: front.consumed, sent: front.sent),
      back: ResumePoint.Leg(consumed: back.consumed, sent: back.sent), header: header)
  }

  @Test func nothingIsSkippedWhereBothLegsAreEqualFar() throws {
    let point = try #require(resume(front: (100, 5000), back: (5000, 100)))
    #expect(point.frontSkip == 0 && point.backSkip == 0 && point.headerSent == 0)
  }

  @Test func inputThatHasBeenSentOnIsSkipped() throws {
    let point = try #require(resume(front: (100, 5300), back: (5000, 140)))
    #expect(point.frontSkip == 40)
    #expect(point.backSkip == 300)
  }

  @Test(arguments: [(0, 0, 0), (10, 10, 0), (28, 28, 0), (40, 28, 12)])
  func theHeaderIsNobodysInput(sent: Int, headerSent: Int, skip: Int) throws {
    let point = try #require(resume(front: (0, 0), back: (0, sent), header: 28))
    #expect(point.headerSent == headerSent)
    #expect(point.frontSkip == skip)
  }

  @Test func inputThatIsGoneAndWasNotSentOnIsAnError() {
    #expect(resume(front: (101, 0), back: (0, 100)) == nil)
    #expect(resume(front: (0, 50), back: (51, 0)) == nil)
    #expect(resume(front: (1, 0), back: (0, 28), header: 28) == nil)
    #expect(resume(front: (-1, 0), back: (0, 0)) == nil)
  }

  /// Two streams through a proxy that dies at any moment, any number of times: whatever was read, written, confirmed and
  /// acknowledged, the bytes that the other host sends are those that come next.
  @Test(arguments: 0..<200)
  func noByteIsLostOrDoubledHoweverOftenTheHostDies(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    let header = seed % 3 == 0 ? 28 : 0
    let stream = (0..<2000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 5) }
    let prefix = [UInt8](repeating: 0xff, count: header)
    var consumed = 0
    var wire: [UInt8] = []
    while wire.count < header + stream.count {
      let point = try #require(resume(front: (consumed, 0), back: (0, wire.count), header: header))
      // A host's life: it reads from `consumed` on, skips, and writes; what it wrote last does not leave.
      var output = Array(prefix.dropFirst(point.headerSent))
      let readTo = min(stream.count, consumed + point.frontSkip + random.below(300))
      if consumed + point.frontSkip < readTo { output += stream[(consumed + point.frontSkip)..<readTo] }
      let left = output.prefix(random.below(output.count + 1))
      wire += left
      // The server has acknowledged a part of what left, and so much is confirmed.
      let acknowledged = wire.count - random.below(50)
      consumed = max(consumed, min(acknowledged - header, readTo))
    }
    #expect(wire == prefix + stream)
  }

  private struct SplitMix {
    var state: UInt64
    mutating func below(_ bound: Int) -> Int {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
      return Int((z ^ z >> 31) % UInt64(max(bound, 1)))
    }
  }
}
