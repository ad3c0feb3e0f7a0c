/// The longest time without progress, and progress over time.
public struct StallMeter: Sendable {
  private var last: UInt64
  /// Nanoseconds of the monotonic clock.
  public private(set) var longest: UInt64 = 0
  /// When the longest time without progress began.
  public private(set) var longestSince: UInt64 = 0

  public init(now: UInt64) { last = now }

  public mutating func progress(at now: UInt64) {
    if now > last, now - last > longest {
      longest = now - last
      longestSince = last
    }
    last = now
  }

  /// Forgets all stalls but the one that lasts.
  public mutating func forget() {
    longest = 0
    longestSince = 0
  }

  /// Starts anew from now on: what was waited for until now was not expected to come.
  public mutating func restart(at now: UInt64) { last = now }
}

/// Bytes per slice of time.
public struct Throughput: Sendable {
  /// Nanoseconds of the monotonic clock at which slice 0 begins.
  public let start: UInt64
  /// Nanoseconds.
  public let slice: UInt64
  public private(set) var bytes: [UInt64] = []

  public init(start: UInt64, slice: UInt64 = 20_000_000) {
    self.start = start
    self.slice = slice
  }

  public mutating func add(_ count: Int, at now: UInt64) {
    guard now >= start else { return }
    let index = Int((now - start) / slice)
    if index >= bytes.count { bytes.append(contentsOf: repeatElement(0, count: index + 1 - bytes.count)) }
    bytes[index] += UInt64(count)
  }
}
