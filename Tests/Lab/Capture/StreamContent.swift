internal import Glibc

/// One direction of a connection as the wire carried it: each byte once, and a count of those that came again differently.
struct StreamContent {
  /// The bytes by stream offset; those that no packet has brought yet are zero and listed as missing.
  private var bytes: [UInt8] = []
  private var missing: [Range<Int>] = []
  private(set) var differing = 0

  /// Bytes in all, up to the furthest one that was seen.
  var count: Int { bytes.count }

  /// Puts a packet's payload where it belongs and compares what was there already.
  mutating func put(_ payload: UnsafeRawBufferPointer, at offset: Int) {
    guard offset >= 0, !payload.isEmpty else { return }
    let end = offset + payload.count
    if offset > bytes.count {
      missing.append(bytes.count..<offset)
      bytes.append(contentsOf: repeatElement(0, count: offset - bytes.count))
    }
    let known = min(end, bytes.count)
    if offset < known {
      compare(payload, offset..<known)
      fillMissing(payload, offset..<known)
    }
    if end > bytes.count { bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: payload[(known - offset)...])) }
  }

  private mutating func compare(_ payload: UnsafeRawBufferPointer, _ range: Range<Int>) {
    let equal = bytes.withUnsafeBytes { bytes in
      guard let left = bytes.baseAddress, let right = payload.baseAddress else { return true }
      return memcmp(left + range.lowerBound, right, range.count) == 0
    }
    if equal { return }
    for position in range where bytes[position] != payload[position - range.lowerBound] {
      if !missing.contains(where: { $0.contains(position) }) { differing += 1 }
    }
  }

  private mutating func fillMissing(_ payload: UnsafeRawBufferPointer, _ range: Range<Int>) {
    guard !missing.isEmpty else { return }
    missing = missing.flatMap { hole -> [Range<Int>] in
      let covered = hole.clamped(to: range)
      guard !covered.isEmpty else { return [hole] }
      for position in covered { bytes[position] = payload[position - range.lowerBound] }
      return [hole.lowerBound..<covered.lowerBound, covered.upperBound..<hole.upperBound].filter { !$0.isEmpty }
    }
  }
}
