/// Tells each change of a condition once, and no flood of them: a link that flaps is told of every few seconds, and how it is in the end
/// is always told.
struct ChangeJournal<Condition: Equatable> {
  private(set) var told: Condition
  private var next: UInt64 = 0

  /// Between two entries, ns.
  static var pause: UInt64 { 2_000_000_000 }

  /// - Parameter usual: what need not be told at the start.
  init(_ usual: Condition) { told = usual }

  /// - Returns: whether `condition` is to be told now.
  mutating func admit(_ condition: Condition, now: UInt64) -> Bool {
    guard condition != told, now >= next else { return false }
    told = condition
    next = now + Self.pause
    return true
  }
}
