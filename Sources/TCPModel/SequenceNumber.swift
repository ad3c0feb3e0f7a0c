/// A TCP sequence number: a position in one direction of a connection, modulo 2^32 (RFC 9293 section 3.4).
///
/// Only positions less than 2^31 apart can be ordered; every comparison here assumes it, as the kernel's `before()` and
/// `after()` (include/net/tcp.h) do. It is deliberately not `Comparable`: the order is not transitive.
public struct SequenceNumber: Hashable, Codable, Sendable {
  public var rawValue: UInt32

  @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  /// The signed distance from `other` to `self`, in bytes: positive when `self` is later in the stream.
  @inlinable public func distance(from other: SequenceNumber) -> Int {
    Int(Int32(bitPattern: rawValue &- other.rawValue))
  }

  @inlinable public static func + (left: SequenceNumber, right: Int) -> SequenceNumber {
    SequenceNumber(left.rawValue &+ UInt32(truncatingIfNeeded: right))
  }
  @inlinable public static func - (left: SequenceNumber, right: Int) -> SequenceNumber {
    SequenceNumber(left.rawValue &- UInt32(truncatingIfNeeded: right))
  }
  @inlinable public static func += (left: inout SequenceNumber, right: Int) { left = left + right }

  @inlinable public func isBefore(_ other: SequenceNumber) -> Bool { distance(from: other) < 0 }
  @inlinable public func isAfter(_ other: SequenceNumber) -> Bool { distance(from: other) > 0 }

  @inlinable public static func latest(_ a: SequenceNumber, _ b: SequenceNumber) -> SequenceNumber {
    a.isBefore(b) ? b : a
  }
  @inlinable public static func earliest(_ a: SequenceNumber, _ b: SequenceNumber) -> SequenceNumber {
    a.isAfter(b) ? b : a
  }
}

extension SequenceNumber: CustomStringConvertible {
  public var description: String { String(rawValue) }
}
