public import TCPModel

/// The body of an ingress or egress record: sequence (4), acknowledgement (4), TSval (4), TSecr (4), window (2, unscaled),
/// control flags (1), bit 0 = has timestamps (1); then the payload. Big-endian.
public enum SegmentRecord {
  public static let headerCount = 20

  @inline(__always)
  static func write(_ header: SegmentHeader, to target: UnsafeMutableRawBufferPointer) {
    target.storeBigEndian(header.sequence.rawValue, at: 0)
    target.storeBigEndian(header.acknowledgement.rawValue, at: 4)
    target.storeBigEndian(header.timestampValue, at: 8)
    target.storeBigEndian(header.timestampEcho, at: 12)
    target.storeBigEndian(header.window, at: 16)
    target.storeBigEndian(UInt16(header.flags.rawValue) << 8 | (header.hasTimestamp ? 1 : 0), at: 18)
  }

  public static func read(_ body: UnsafeRawBufferPointer) -> (header: SegmentHeader, payload: UnsafeRawBufferPointer)? {
    guard body.count >= headerCount else { return nil }
    let header = SegmentHeader(
      sequence: SequenceNumber(body.bigEndian32(0)), acknowledgement: SequenceNumber(body.bigEndian32(4)),
      window: body.bigEndian16(16), flags: SegmentHeader.Flags(rawValue: body[18]), hasTimestamp: body[19] & 1 != 0,
      timestampValue: body.bigEndian32(8), timestampEcho: body.bigEndian32(12))
    return (header, UnsafeRawBufferPointer(rebasing: body[headerCount...]))
  }
}
