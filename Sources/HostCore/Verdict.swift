public import TCPModel

/// What becomes of a packet that waits in a queue of the kernel.
public enum Verdict: Hashable, Sendable {
  /// It goes on, in its turn.
  case accept
  /// It is gone; its sender notices nothing but the loss.
  case drop
  /// It goes on with another acknowledgement number.
  case replace(acknowledgement: SequenceNumber)
  /// It stays: one that would leave until the standby holds its record, one that has come until its socket stands.
  case hold
}

/// Verdicts on packets that have come. The kernel is told in batches where it can be, and each packet gets exactly one.
///
/// A batch verdict concerns every packet that still waits, up to a number. So while packets are held the others are told one
/// by one.
public struct InboundVerdicts: Sendable {
  /// The last packet that may go on and of which the kernel has not been told.
  private var accepted: UInt32?
  private var held: Set<UInt32> = []

  public init() {}

  /// A packet may go on.
  /// - Returns: whether the kernel is to be told of this packet alone, now; otherwise `flush` covers it.
  @inline(__always)
  public mutating func accept(_ packet: UInt32) -> Bool {
    guard held.isEmpty else { return true }
    accepted = packet
    return false
  }

  /// A packet waits for `release`. What was accepted before is told by the next `flush`, which does not reach this one.
  public mutating func hold(_ packet: UInt32) { held.insert(packet) }

  /// A packet that was held gets its verdict now.
  /// - Returns: false when it was not held, so that it has had one.
  public mutating func release(_ packet: UInt32) -> Bool { held.remove(packet) != nil }

  /// - Returns: all packets that were held, in no order: each is to get its verdict now.
  public mutating func releaseAll() -> Set<UInt32> {
    defer { held = [] }
    return held
  }

  /// - Returns: the packet up to which the kernel is to let everything go on that waits; nil when it need not be told.
  @inline(__always)
  public mutating func flush() -> UInt32? {
    defer { accepted = nil }
    return accepted
  }
}
