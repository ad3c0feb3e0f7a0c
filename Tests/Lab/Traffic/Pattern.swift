internal import Glibc

/// A stream whose byte at offset n is known without the bytes before it, so that either end can be checked byte for byte, and
/// gone on with at any offset by a process that has never seen the stream.
///
/// All streams read one table of random bytes, each from a place that its seed decides. The table's length is a prime: a
/// stream that is shifted by a packet, a page or a power of two never matches by accident, and two streams that were mixed up
/// differ. Filling and checking are memcpy and memcmp: as fast in a debug build as elsewhere.
public struct Pattern: Hashable, Sendable {
  public let seed: UInt64

  public init(seed: UInt64) { self.seed = seed }

  static let period = 1_048_573

  /// The table twice, so that any piece of up to `period` bytes lies in one stretch of it.
  private static let table: [UInt8] = {
    var bytes = [UInt8](repeating: 0, count: 2 * period)
    var dice = Dice(seed: 0x686f_6c64_6661_7374)
    for index in stride(from: 0, to: period, by: 8) {
      var word = dice.next()
      for position in index..<min(index + 8, period) {
        bytes[position] = UInt8(truncatingIfNeeded: word)
        bytes[position + period] = UInt8(truncatingIfNeeded: word)
        word >>= 8
      }
    }
    return bytes
  }()

  private func place(of offset: UInt64) -> Int {
    var dice = Dice(seed: seed)
    let start = dice.next() % UInt64(Pattern.period)
    return Int((start + offset % UInt64(Pattern.period)) % UInt64(Pattern.period))
  }

  public subscript(offset: UInt64) -> UInt8 { Pattern.table[place(of: offset)] }

  /// Writes the stream's bytes from `offset` on over all of `buffer`.
  public func fill(_ buffer: UnsafeMutableRawBufferPointer, from offset: UInt64) {
    walk(buffer.count, from: offset) { done, source in
      UnsafeMutableRawBufferPointer(rebasing: buffer[done..<(done + source.count)]).copyMemory(from: source)
      return true
    }
  }

  /// The stream's bytes `range`.
  public func bytes(_ range: Range<UInt64>) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: range.count)
    bytes.withUnsafeMutableBytes { fill($0, from: range.lowerBound) }
    return bytes
  }

  /// The offset of the first byte that is not the stream's, if `buffer` should hold it from `offset` on.
  public func firstMismatch(in buffer: UnsafeRawBufferPointer, from offset: UInt64) -> UInt64? {
    var mismatch: UInt64?
    walk(buffer.count, from: offset) { done, source in
      let piece = UnsafeRawBufferPointer(rebasing: buffer[done..<(done + source.count)])
      guard let left = piece.baseAddress, let right = source.baseAddress else { return true }
      if memcmp(left, right, source.count) == 0 { return true }
      let index = (0..<source.count).first { piece[$0] != source[$0] } ?? 0
      mismatch = offset + UInt64(done + index)
      return false
    }
    return mismatch
  }

  /// Hands out the table's stretches that make up `count` bytes from `offset` on, until `body` returns false.
  private func walk(_ count: Int, from offset: UInt64, _ body: (Int, UnsafeRawBufferPointer) -> Bool) {
    Pattern.table.withUnsafeBytes { table in
      var done = 0
      while done < count {
        let place = place(of: offset + UInt64(done))
        let size = min(count - done, Pattern.period)
        if !body(done, UnsafeRawBufferPointer(rebasing: table[place..<(place + size)])) { return }
        done += size
      }
    }
  }
}
