/// Input behind a hole: filled positions of a ledger's queue, as sorted ranges that neither overlap nor touch.
///
/// There are at most `limit`, so a peer decides neither how long a search takes nor how long a baseline gets. The bytes
/// themselves need no limit of their own: they lie in the ledger's queue, which ends at the offered window
/// (`InputLedger.take`).
package struct Islands {
  /// Most islands of one connection. To need more, a peer must lose 257 packets of one window, each apart from the others:
  /// every eleventh packet of a window of 4 MiB.
  package static let limit = 256

  private var ranges: [Range<Int>] = []

  package init() {}

  package var count: Int { ranges.count }
  package var isEmpty: Bool { ranges.isEmpty }
  package var isFull: Bool { ranges.count >= Self.limit }
  /// In order.
  package var all: [Range<Int>] { ranges }
  package subscript(index: Int) -> Range<Int> { ranges[index] }

  /// The islands that overlap `range` or touch it, as indices. Where there is none, an island of that range belongs at its
  /// bound.
  package func touched(by range: Range<Int>) -> Range<Int> {
    let first = ranges.partitioningIndex { $0.upperBound >= range.lowerBound }
    let end = ranges[first...].partitioningIndex { $0.lowerBound > range.upperBound }
    return first..<end
  }

  /// Whether `range` would be one more island, and there may be no more.
  package func haveNoRoom(for range: Range<Int>) -> Bool { isFull && touched(by: range).isEmpty }

  /// Puts one island in the place of those at `indices`, which are all that touch it; or none.
  package mutating func replace(_ indices: Range<Int>, with island: Range<Int>?) {
    if let island {
      ranges.replaceSubrange(indices, with: CollectionOfOne(island))
    } else {
      ranges.removeSubrange(indices)
    }
  }

  /// The queue has lost its first `length` positions.
  package mutating func move(by length: Int) {
    for index in ranges.indices {
      ranges[index] = ranges[index].lowerBound - length..<ranges[index].upperBound - length
    }
  }
}

extension RandomAccessCollection {
  /// The first index whose element meets `condition`, which all elements behind the first do that does; `endIndex` if none
  /// does. Asks of as many elements as the count has binary digits.
  package func partitioningIndex(where condition: (Element) -> Bool) -> Index {
    var start = startIndex
    var length = count
    while length > 0 {
      let half = length / 2
      let middle = index(start, offsetBy: half)
      if condition(self[middle]) {
        length = half
      } else {
        start = index(after: middle)
        length -= half + 1
      }
    }
    return start
  }
}
