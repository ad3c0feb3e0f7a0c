/// The part of a TCP header that a ledger learns from: what one packet tells the other end.
public struct SegmentHeader: Hashable, Sendable {
  /// The control bits that matter here (RFC 9293 section 3.1).
  public struct Flags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let fin = Flags(rawValue: 0x01)
    public static let syn = Flags(rawValue: 0x02)
    public static let rst = Flags(rawValue: 0x04)
    public static let psh = Flags(rawValue: 0x08)
    public static let ack = Flags(rawValue: 0x10)
    public static let urg = Flags(rawValue: 0x20)
  }

  public var sequence: SequenceNumber
  /// Meaningful with the ACK flag alone.
  public var acknowledgement: SequenceNumber
  /// As it stands in the header: not yet scaled.
  public var window: UInt16
  public var flags: Flags
  public var hasTimestamp: Bool
  public var timestampValue: UInt32
  public var timestampEcho: UInt32

  @inlinable public init(
    sequence: SequenceNumber, acknowledgement: SequenceNumber, window: UInt16, flags: Flags, hasTimestamp: Bool = false,
    timestampValue: UInt32 = 0, timestampEcho: UInt32 = 0
  ) {
    self.sequence = sequence
    self.acknowledgement = acknowledgement
    self.window = window
    self.flags = flags
    self.hasTimestamp = hasTimestamp
    self.timestampValue = timestampValue
    self.timestampEcho = timestampEcho
  }
}

/// A TCP segment found in an IP packet. It refers to the packet's bytes by offset and does not own them.
public struct Segment: Hashable, Sendable {
  public var source: Endpoint
  public var destination: Endpoint
  public var header: SegmentHeader
  /// Where the TCP header begins in the packet, bytes.
  public var headerOffset: Int
  /// Where the payload begins in the packet, bytes.
  public var payloadOffset: Int
  /// Bytes of payload; control flags are not counted.
  public var payloadCount: Int
  /// The end of the SACK block that reaches furthest above the acknowledgement (RFC 2018), if there is one: D-SACKs
  /// (RFC 2883), which lie below it, do not count.
  public var highestSelectiveAcknowledgement: SequenceNumber?

  /// One past the last sequence number that the segment occupies, FIN and SYN counted.
  @inlinable public var end: SequenceNumber {
    header.sequence + payloadCount + (header.flags.contains(.fin) ? 1 : 0) + (header.flags.contains(.syn) ? 1 : 0)
  }

  /// The payload in the packet that the segment was parsed from.
  @inlinable @inline(__always)
  public func payload(in packet: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: packet[payloadOffset..<payloadOffset + payloadCount])
  }
}

/// Why bytes are not a TCP segment that can be followed.
public enum SegmentError: Error, Hashable, Sendable {
  /// Shorter than its own headers say.
  case truncated
  /// Neither IPv4 nor IPv6.
  case notIP
  /// Another protocol than TCP, or behind an extension header that hides it (ESP).
  case notTCP
  /// A fragment: a host reassembles before its queues see a packet, so this did not come from there.
  case fragment
  /// A header length that is impossible.
  case malformed
}
