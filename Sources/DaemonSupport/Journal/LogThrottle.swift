/// Keeps what any stranger can cause from filling the journal: it lets one entry pass in a while and counts the others.
package struct LogThrottle {
  /// Between two entries, ns.
  package static let interval: UInt64 = 10_000_000_000
  private var next: UInt64 = 0
  private var held = 0

  package init() {}

  /// - Returns: how often it happened since the last entry, this time included; nil when this is not the time for one.
  package mutating func admit(now: UInt64) -> Int? {
    held += 1
    guard now >= next else { return nil }
    defer { held = 0 }
    next = now + Self.interval
    return held
  }
}
