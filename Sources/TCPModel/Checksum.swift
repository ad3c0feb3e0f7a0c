/// The Internet checksum (RFC 1071) over TCP and its pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
public enum Checksum {
  /// Whether the segment's own checksum fits its bytes. What a network card or a neighbour in the same machine has left to be
  /// filled in does not; see who may be judged by it at the queue.
  @inlinable
  public static func isValid(_ segment: Segment, in packet: UnsafeRawBufferPointer) -> Bool {
    let end = segment.payloadOffset + segment.payloadCount
    let bytes = UnsafeRawBufferPointer(rebasing: packet[segment.headerOffset..<end])
    return fold(sum(bytes) &+ pseudoHeader(segment.source.address, segment.destination.address, count: bytes.count))
      == 0xffff
  }

  /// What goes into the checksum field of a message whose bytes, that field being 0, are these.
  public static func of(_ bytes: [UInt8]) -> UInt16 { value(bytes.withUnsafeBytes { sum($0) }) }

  /// The one's complement of the folded sum: what goes into a header field.
  static func value(_ sum: UInt64) -> UInt16 { ~fold(sum) }

  /// Not folded yet; in big-endian order.
  @usableFromInline
  static func pseudoHeader(_ source: IPAddress, _ destination: IPAddress, count: Int) -> UInt64 {
    words(source) &+ words(destination) &+ 6 &+ UInt64(count)
  }

  private static func words(_ address: IPAddress) -> UInt64 {
    // 2^16 is 1 modulo 2^16 - 1, so halves of 32 bits can be added as they are.
    (address.high >> 32) &+ (address.high & 0xffff_ffff) &+ (address.low >> 32) &+ (address.low & 0xffff_ffff)
  }

  /// The sum of the bytes as big-endian 16-bit words, an odd one padded with zero. The sum does not depend on byte order
  /// (RFC 1071 section 2), so 8 bytes are added at a time as the machine loads them, and swapped once at the end.
  @inlinable
  static func sum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var low: UInt64 = 0
    var high: UInt64 = 0
    var offset = 0
    while offset + 8 <= bytes.count {
      let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      low &+= word & 0xffff_ffff
      high &+= word >> 32
      offset += 8
    }
    var rest: UInt64 = 0
    var shift: UInt64 = 0
    while offset < bytes.count {
      rest |= UInt64(bytes[offset]) << shift
      shift += 8
      offset += 1
    }
    let total = low &+ high &+ (rest & 0xffff_ffff) &+ (rest >> 32)
    return UInt64(fold(total).byteSwapped)
  }

  /// Adds the carries back in until 16 bits are left.
  @inlinable
  static func fold(_ sum: UInt64) -> UInt16 {
    var sum = (sum & 0xffff_ffff) &+ (sum >> 32)
    sum = (sum & 0xffff) &+ (sum >> 16)
    sum = (sum & 0xffff) &+ (sum >> 16)
    sum = (sum & 0xffff) &+ (sum >> 16)
    return UInt16(truncatingIfNeeded: sum)
  }
}
