/// What is to happen, by time; at one time in the order in which it was asked for.
struct EventQueue {
  private struct Entry {
    var time: UInt64
    var order: UInt64
    var run: () -> Void

    func isBefore(_ other: Entry) -> Bool { (time, order) < (other.time, other.order) }
  }
  private var heap: [Entry] = []
  private var order: UInt64 = 0

  mutating func add(at time: UInt64, _ run: @escaping () -> Void) {
    order += 1
    heap.append(Entry(time: time, order: order, run: run))
    var index = heap.count - 1
    while index > 0, heap[index].isBefore(heap[(index - 1) / 2]) {
      heap.swapAt(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  mutating func next() -> (time: UInt64, run: () -> Void)? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return (first.time, first.run) }
    heap[0] = last
    var index = 0
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child].isBefore(heap[least]) {
        least = child
      }
      guard least != index else { return (first.time, first.run) }
      heap.swapAt(index, least)
      index = least
    }
  }
}
