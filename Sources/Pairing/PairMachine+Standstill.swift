/// What a host does after it stood still: its process was stopped, or its machine was paused.
///
/// The host does not know what has become of the pair meanwhile. What lies in its sockets may be older than the standstill: a
/// full receive buffer keeps the old heartbeats and loses the new ones. So the host decides nothing until the other host has
/// had time to be heard. Until then an active host lets no packet go that its standby has not confirmed.
extension PairMachine {
  /// The standstill after which a host that is not active is wary, ns. No daemon waits that long for a processor, and no
  /// receive buffer fills up with heartbeats sooner.
  private static let longStandstill: UInt64 = 2_000_000_000

  /// Whether it is too early to decide anything.
  var isWary: Bool { now < standstill.waryUntil }

  /// Finds out whether this host stood still. To be called with each event, before anything follows from it.
  mutating func noticeStandstill() -> [Action] {
    defer { standstill.lastEvent = now }
    guard let last = standstill.lastEvent, now - last > configuration.deadAfter else { return [] }
    let end = now + configuration.announcing
    standstill.hearsLateUntil = end
    guard let active else {
      // Nobody waits for this host, and one that is merely short of time must be able to decide in the end.
      if now - last > Self.longStandstill { standstill.waryUntil = end }
      return []
    }
    standstill.waryUntil = end
    permission.void()
    switch active.phase {
    case .exposed(var exposed):
      exposed.opensAt = max(exposed.opensAt ?? 0, end)
      enter(.exposed(exposed))
    case .syncing(isEnding: false): enter(.syncing(isEnding: true))
    case .waiting, .syncing(isEnding: true), .synced: return []
    }
    return [.holdGate]
  }
}

/// What a host knows of its own standstills.
struct Standstill: Sendable {
  /// When the last event was, ns; nil before the first one.
  var lastEvent: UInt64?
  /// The time until which this host decides nothing, ns.
  var waryUntil: UInt64 = 0
  /// The time until which what the other host says may be from before a standstill, ns. Every standstill counts here, however
  /// short.
  var hearsLateUntil: UInt64 = 0
}
