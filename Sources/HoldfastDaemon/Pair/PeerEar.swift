/// Tells when the neighbours may have been told by the peer that the addresses are there: it was active, or it was not heard for so
/// long that it may have been.
struct PeerEar {
  /// Silence after which nobody knows what the peer was meanwhile, ns.
  let silence: UInt64
  private var wasActive = false
  private var lastHeard: UInt64?

  init(silence: UInt64) { self.silence = silence }

  /// - Parameter now: CLOCK_MONOTONIC, ns.
  /// - Returns: whether the peer has just given way, or comes back and claims nothing.
  mutating func hears(isActive: Bool, now: UInt64) -> Bool {
    defer {
      wasActive = isActive
      lastHeard = now
    }
    guard !isActive, let lastHeard else { return false }
    return wasActive || now - min(now, lastHeard) >= silence
  }
}
