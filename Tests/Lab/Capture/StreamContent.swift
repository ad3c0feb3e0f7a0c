internal import Glibc

/// One direction of a connection as the wire carried it: each byte once, and a count of those that came again differently.
struct StreamContent {
  /// The bytes, by the page that they lie in: a stream of gigabytes of which a capture has the beginning of each packet costs
  /// what the capture has. Those that no packet has brought yet are zero.
  private var pages: [Int: [UInt8]] = [:]
  /// What of them a whole packet has brought: not all that the capture has seen, which may have shortened others.
  private var coverage = Coverage()
  private(set) var differing = 0

  private static let pageSize = 1 << 14

  /// Puts a packet's payload where it belongs and compares what was there already.
  mutating func put(_ payload: UnsafeRawBufferPointer, at offset: Int) {
    guard offset >= 0, !payload.isEmpty else { return }
    let end = offset + payload.count
    var position = offset
    for part in coverage.cover(offset..<end) {
      compare(payload, position..<part.lowerBound, at: offset)
      eachPage(of: part) { page, range, start in
        page.withUnsafeMutableBytes {
          UnsafeMutableRawBufferPointer(rebasing: $0[range]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: payload[start - offset..<start - offset + range.count]))
        }
      }
      position = part.upperBound
    }
    compare(payload, position..<end, at: offset)
  }

  private mutating func compare(_ payload: UnsafeRawBufferPointer, _ range: Range<Int>, at offset: Int) {
    var differing = 0
    eachPage(of: range) { page, range, start in
      let equal = page.withUnsafeBytes { bytes in
        guard let left = bytes.baseAddress, let right = payload.baseAddress else { return true }
        return memcmp(left + range.lowerBound, right + (start - offset), range.count) == 0
      }
      if equal { return }
      for position in range where page[position] != payload[start - offset + position - range.lowerBound] {
        differing += 1
      }
    }
    self.differing += differing
  }

  /// Calls with each page that a part of the stream lies in, where in the page it lies, and at which offset that begins.
  private mutating func eachPage(
    of part: Range<Int>, _ body: (_ page: inout [UInt8], _ range: Range<Int>, _ start: Int) -> Void
  ) {
    var start = part.lowerBound
    while start < part.upperBound {
      let number = start / Self.pageSize
      let first = start - number * Self.pageSize
      let count = min(part.upperBound - start, Self.pageSize - first)
      body(&pages[number, default: [UInt8](repeating: 0, count: Self.pageSize)], first..<first + count, start)
      start += count
    }
  }
}
