/// When somebody has taken hosts' gates away: from then on, until the tables are back and what had been held has left, packets may leave
/// before earlier ones. Nothing is promised about those, but that the connections are called unprotected.
struct Strikes {
  private var spans: [ClosedRange<UInt64>] = []

  /// For how long it may be seen afterwards, ns: 200 ms until the table is back, and what lies in the gate.
  private static let aftermath: UInt64 = 500_000_000

  /// Does it.
  mutating func note(_ strike: () throws -> Void) rethrows {
    let start = wallClockNow()
    try strike()
    spans.append(start...wallClockNow() + Self.aftermath)
  }

  /// - Parameter time: nanoseconds since 1970.
  func contain(_ time: UInt64) -> Bool { spans.contains { $0.contains(time) } }
}
