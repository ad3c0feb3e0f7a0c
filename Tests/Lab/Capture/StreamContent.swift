internal import Glibc

/// One direction of a connection as the wire carried it: each byte once, and a count of those that came again differently.
struct StreamContent {
  /// The bytes by stream offset; those that no packet has brought yet are zero.
  private var bytes: [UInt8] = []
  /// What of them a whole packet has brought: not all that the capture has seen, which may have shortened others.
  private var coverage = Coverage()
  private(set) var differing = 0

  /// Puts a packet's payload where it belongs and compares what was there already.
  mutating func put(_ payload: UnsafeRawBufferPointer, at offset: Int) {
    guard offset >= 0, !payload.isEmpty else { return }
    let end = offset + payload.count
    if end > bytes.count { bytes.append(contentsOf: repeatElement(0, count: end - bytes.count)) }
    var position = offset
    for part in coverage.cover(offset..<end) {
      compare(payload, position..<part.lowerBound, at: offset)
      bytes.withUnsafeMutableBytes {
        UnsafeMutableRawBufferPointer(rebasing: $0[part]).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: payload[part.lowerBound - offset..<part.upperBound - offset]))
      }
      position = part.upperBound
    }
    compare(payload, position..<end, at: offset)
  }

  private mutating func compare(_ payload: UnsafeRawBufferPointer, _ range: Range<Int>, at offset: Int) {
    let equal = bytes.withUnsafeBytes { bytes in
      guard let left = bytes.baseAddress, let right = payload.baseAddress else { return true }
      return memcmp(left + range.lowerBound, right + (range.lowerBound - offset), range.count) == 0
    }
    if equal { return }
    for position in range where bytes[position] != payload[position - offset] { differing += 1 }
  }
}
