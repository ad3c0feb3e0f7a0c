/// What one host knows of the other from its heartbeats, and for how long there has been none.
///
/// Silence is counted in time that this host observed: a tick that comes late (the process was stopped, the machine paused)
/// counts for two intervals at most, because while nobody listened nobody was silent.
struct PeerView {
  private let interval: UInt64
  private let deadAfter: UInt64
  /// When each path was last heard, ns; nil for never.
  private(set) var lastHeard: [UInt64?]
  /// The newest heartbeat over all paths.
  private(set) var latest: Heartbeat?
  /// Observed ns since any heartbeat.
  private(set) var silence: UInt64 = 0
  /// Observed ns since a heartbeat of an active peer.
  private(set) var activeSilence: UInt64 = 0
  private var lastTick: UInt64

  init(paths: Int, interval: UInt64, deadAfter: UInt64, now: UInt64) {
    self.interval = interval
    self.deadAfter = deadAfter
    lastHeard = [UInt64?](repeating: nil, count: paths)
    lastTick = now
  }

  /// Takes a heartbeat of the peer.
  /// - Returns: Whether the heartbeat is newer than everything heard before, so that what it says counts.
  mutating func hear(_ heartbeat: Heartbeat, on path: Int, now: UInt64) -> Bool {
    guard lastHeard.indices.contains(path) else { return false }
    if let latest, latest.instance == heartbeat.instance, heartbeat.sequence <= latest.sequence {
      // The same one over another path says that the path works; an older one says nothing.
      if heartbeat.sequence == latest.sequence { lastHeard[path] = now }
      return false
    }
    lastHeard[path] = now
    latest = heartbeat
    silence = 0
    if heartbeat.role == .active { activeSilence = 0 }
    return true
  }

  /// How long an active peer may be silent before it counts as dead, ns: longer while its daemon starts anew, as it said.
  var tolerance: UInt64 {
    guard let latest, latest.role == .active else { return deadAfter }
    return max(deadAfter, UInt64(latest.patience) * 1_000_000_000)
  }

  /// Counts the silence since the last tick.
  /// - Returns: The time that this host has observed since the last tick, ns.
  mutating func tick(now: UInt64) -> UInt64 {
    let observed = min(now > lastTick ? now - lastTick : 0, 2 * interval)
    lastTick = max(lastTick, now)
    silence += observed
    activeSilence += observed
    return observed
  }

  /// The time until which the peer's last heartbeat rules out that the peer took this host for dead, ns; nil when the peer was
  /// never heard.
  var heardUntil: UInt64? { lastHeard.lazy.compactMap { $0 }.max().map { $0 + deadAfter } }
  /// The peer was heard a moment ago.
  var isHeard: Bool { latest != nil && silence < tolerance }
  /// The peer has said last that clients cannot reach it at the service addresses.
  var isUnreachable: Bool { latest?.isUnreachable == true }
  /// The peer has said last that its packet table is not in force.
  var isTableMissing: Bool { latest?.isTableMissing == true }

  func isAlive(path: Int, now: UInt64) -> Bool {
    guard lastHeard.indices.contains(path), let heard = lastHeard[path] else { return false }
    return now <= heard || now - heard < deadAfter
  }
}
