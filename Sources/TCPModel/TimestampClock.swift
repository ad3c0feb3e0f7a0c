/// The unit in which a connection counts its TCP timestamps (RFC 7323).
public enum TimestampUnit: UInt8, Sendable, CaseIterable {
  /// The connection negotiated no timestamps.
  case none = 0
  /// One tick a millisecond: what Linux uses unless the route says otherwise.
  case milliseconds = 1
  /// One tick a microsecond (route feature `tcp_usec_ts`, Linux 6.7).
  case microseconds = 2

  /// Nanoseconds in one tick; 0 for `none`.
  @inlinable public var nanosecondsPerTick: UInt64 {
    switch self {
    case .none: 0
    case .milliseconds: 1_000_000
    case .microseconds: 1_000
    }
  }
}

/// One connection's timestamp clock: the TSval that it had at one moment, from which any later one follows.
///
/// Every host counts from an origin of its own; what the peer checks (PAWS, RFC 7323 section 5) is that TSval never goes
/// back. So a restored connection goes on from the last TSval that left the dead host plus the time since, and not from the
/// new host's clock. The moment is on the monotonic clock of the host that holds this value: it never crosses the wire.
public struct TimestampClock: Hashable, Sendable {
  /// The TSval at `moment`, modulo 2^32, in `unit`s.
  public var value: UInt32
  /// Nanoseconds on this host's CLOCK_MONOTONIC.
  public var moment: UInt64
  public let unit: TimestampUnit

  @inlinable public init(value: UInt32, moment: UInt64, unit: TimestampUnit) {
    self.value = value
    self.moment = moment
    self.unit = unit
  }

  /// Learns the TSval of a packet that left (or is about to). Only later ones count: a retransmission that was held, or a
  /// record that arrives twice, does not set the clock back.
  @inlinable public mutating func advance(to value: UInt32, at moment: UInt64) {
    guard Int32(bitPattern: value &- self.value) >= 0 else { return }
    self.value = value
    self.moment = moment
  }

  /// The TSval with which a restored connection goes on at `now`: at least one tick above everything that was recorded, and
  /// no more than the time that has passed above that. A larger margin would come back in the peer's echo as round-trip time
  /// and poison the retransmission timeout.
  @inlinable public func restored(at now: UInt64) -> UInt32 {
    guard unit != .none else { return 0 }
    let elapsed = now > moment ? (now - moment) / unit.nanosecondsPerTick : 0
    return value &+ UInt32(truncatingIfNeeded: elapsed) &+ 1
  }

  /// What setsockopt(TCP_TIMESTAMP) takes for `restored(at:)`. Bit 0 of the option is not time: since Linux 6.7 it selects
  /// the unit (1 = µs). A millisecond clock is therefore rounded up to even, never down; a microsecond clock up to odd.
  @inlinable public func socketOptionValue(at now: UInt64) -> UInt32 {
    let value = restored(at: now)
    return switch unit {
    case .none: 0
    case .milliseconds: value &+ (value & 1)
    case .microseconds: value | 1
    }
  }
}
