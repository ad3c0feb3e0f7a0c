import HostCore
import Modelling
import Testing

/// A queue of the kernel: packets wait in it until they get a verdict. A second one meets nobody, as there.
private struct KernelQueue {
  enum End: Equatable { case accepted, dropped }
  private(set) var waiting: [UInt32] = []
  private(set) var ends: [UInt32: End] = [:]

  mutating func queue(_ packet: UInt32) { waiting.append(packet) }

  mutating func end(_ packet: UInt32, _ end: End) {
    guard let index = waiting.firstIndex(of: packet) else { return }
    waiting.remove(at: index)
    ends[packet] = end
  }

  mutating func acceptAll(upTo packet: UInt32) {
    for waiting in waiting where waiting <= packet { end(waiting, .accepted) }
  }
}

@Suite struct VerdictTests {
  /// Whatever the order in which packets are accepted, dropped, held and released: each gets one verdict, and the one that it
  /// was to get.
  @Test(arguments: 0..<200 as Range<UInt64>)
  func eachPacketGetsOneVerdictAndTheRightOne(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var verdicts = InboundVerdicts()
    var kernel = KernelQueue()
    var expected: [UInt32: KernelQueue.End] = [:]
    var held: [UInt32] = []
    var next: UInt32 = 1
    for _ in 0..<60 {
      // A batch is read, and each packet of it is judged.
      let batch = next..<next + UInt32(random.within(1...8))
      next = batch.upperBound
      for packet in batch { kernel.queue(packet) }
      for packet in batch {
        switch random.below(10) {
        case 0..<6:
          expected[packet] = .accepted
          if verdicts.accept(packet) { kernel.end(packet, .accepted) }
        case 6..<8:
          expected[packet] = .dropped
          kernel.end(packet, .dropped)
        default:
          verdicts.hold(packet)
          held.append(packet)
        }
      }
      if let last = verdicts.flush() { kernel.acceptAll(upTo: last) }
      // Nothing that is held has had a verdict, and everything else has.
      #expect(kernel.waiting == held)
      // A socket stands: what was held for it goes in.
      while random.chance(40), !held.isEmpty {
        let packet = held.remove(at: random.below(held.count))
        expected[packet] = .accepted
        let isFirst = verdicts.release(packet)
        kernel.end(packet, .accepted)
        let isSecond = verdicts.release(packet)
        #expect(isFirst && !isSecond, "packet \(packet)")
      }
      if random.chance(5) {
        // The host is fenced.
        let all = verdicts.releaseAll()
        #expect(all == Set(held))
        for packet in all {
          expected[packet] = .dropped
          kernel.end(packet, .dropped)
        }
        held = []
      }
    }
    for packet in verdicts.releaseAll() {
      expected[packet] = .dropped
      kernel.end(packet, .dropped)
    }
    #expect(kernel.waiting.isEmpty)
    #expect(kernel.ends == expected)
  }

  /// While nothing is held the kernel is told once for a batch.
  @Test func aBatchIsOneVerdict() {
    var verdicts = InboundVerdicts()
    let alone = (1...64 as ClosedRange<UInt32>).count { verdicts.accept($0) }
    let (first, second) = (verdicts.flush(), verdicts.flush())
    #expect(alone == 0 && first == 64 && second == nil)
  }
}
