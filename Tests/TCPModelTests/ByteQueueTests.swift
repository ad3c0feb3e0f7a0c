import Modelling
import TCPModel
import Testing

@Suite struct ByteQueueTests {
  /// Against an array, with holes that are filled later.
  @Test(arguments: 0..<6)
  func itIsAnArrayThatLosesItsFront(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var queue = ByteQueue()
    var model: [UInt8?] = []
    for _ in 0..<300 {
      switch random.below(4) {
      case 0:
        let bytes = random.bytes(random.below(700))
        bytes.withUnsafeBytes { queue.append($0) }
        model += bytes
      case 1:
        let bytes = random.bytes(random.within(1...300))
        let position = random.below(model.count + 500)
        bytes.withUnsafeBytes { queue.write($0, at: position) }
        if position + bytes.count > model.count {
          model += [UInt8?](repeating: nil, count: position + bytes.count - model.count)
        }
        model.replaceSubrange(position..<position + bytes.count, with: bytes)
      default:
        let count = random.chance(5) ? model.count + 10 : random.below(model.count + 1)
        queue.removeFirst(count)
        model.removeFirst(min(count, model.count))
      }
      #expect(queue.count == model.count)
      let bytes = queue.bytes(0..<queue.count)
      #expect(zip(bytes, model).allSatisfy { $0 == $1 ?? $0 })
    }
  }

  @Test func anIdleQueueHoldsNoMemory() {
    var queue = ByteQueue()
    #expect(queue.capacity == 0)
    [UInt8](repeating: 1, count: 1 << 20).withUnsafeBytes { queue.append($0) }
    queue.removeFirst(1 << 20)
    // It was used in full just now, so it may be again; the next that uses little of it lets it go.
    [UInt8(1)].withUnsafeBytes { queue.append($0) }
    queue.removeFirst(1)
    #expect(queue.capacity == 0)
  }

  @Test func impossibleRequestsDoNothing() {
    var queue = ByteQueue([1, 2, 3])
    queue.removeFirst(-5)
    [UInt8(9)].withUnsafeBytes { queue.write($0, at: -1) }
    #expect(queue.bytes(0..<3) == [1, 2, 3])
    #expect(queue.bytes(2..<100) == [3])
    #expect(queue.bytes(50..<60) == [])
  }
}
