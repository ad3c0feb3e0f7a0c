/// A host that stood still (its process was stopped, its machine paused) does not know what has become of the pair meanwhile. What
/// lies in its sockets may be older than the standstill: a full receive buffer keeps the old heartbeats and loses the new ones. So
/// the host decides nothing until the other host has had time to be heard. An active host sends nothing until then that its
/// standby has not confirmed.
extension PairMachine {
  /// Longer than a daemon waits for a processor, shorter than a receive buffer needs to fill up with heartbeats, ns.
  private static let longStandstill: UInt64 = 2_000_000_000

  /// Whether it is too early to decide anything.
  var isWary: Bool { now < waryUntil }

  /// To be called with each event, before anything follows from it.
  mutating func noticeStandstill() -> [Action] {
    defer { lastEvent = now }
    guard let lastEvent, now - lastEvent > configuration.deadAfter else { return [] }
    hearsLateUntil = now + configuration.announcing
    guard role == .active else {
      // Nobody waits for this host, and one that is merely short of time must be able to decide in the end.
      if now - lastEvent > Self.longStandstill { waryUntil = now + configuration.announcing }
      return []
    }
    waryUntil = now + configuration.announcing
    permission.void()
    switch replication {
    case .exposed: opensAt = max(opensAt ?? 0, waryUntil)
    case .syncing where !isSyncEnding: isSyncEnding = true
    case .waiting, .syncing, .synced: return []
    }
    return [.holdGate]
  }
}
