/// Whether a standby's ledgers are what the active host's peers have seen.
struct ReplicaView: Hashable, Sendable {
  /// All ledgers were received in this session, or in the last one.
  private(set) var isComplete = false
  /// The active host's epoch when the session began.
  private var epoch: UInt64 = 0
  /// When the channel broke, ns; nil while it stands.
  private var lostSince: UInt64?
  /// Since when the active host's newest heartbeat says that it is mute for want of a standby, ns.
  private var saidWaitingSince: UInt64?

  /// A new session: what was known is replaced.
  mutating func begin(epoch: UInt64) {
    self = ReplicaView()
    self.epoch = epoch
  }

  mutating func complete() {
    isComplete = true
    lostSince = nil
    saidWaitingSince = nil
  }

  /// The channel broke.
  mutating func lose(now: UInt64) { lostSince = lostSince ?? now }

  /// The active host goes on without a standby, or its connections are over.
  mutating func discard() { isComplete = false }

  /// What the active host's newest heartbeat says of its standby.
  mutating func hear(_ phase: ReplicationPhase, epoch: UInt64, now: UInt64) {
    switch phase {
    case .waiting: saidWaitingSince = saidWaitingSince ?? now
    // A later epoch without a takeover of ours: it went on alone.
    case .exposed where epoch > self.epoch: discard()
    case .syncing, .synced, .exposed: saidWaitingSince = nil
    }
  }

  /// - Parameter silentSince: when the active host was last heard, ns: it can have gone on alone until then, but not before it
  ///   had been mute for `exposeAfter`. Two heartbeats may have been lost.
  func isUsable(silentSince: UInt64, _ configuration: PairMachine.Configuration) -> Bool {
    guard isComplete else { return false }
    guard configuration.mayExpose, let since = [lostSince, saidWaitingSince].compactMap({ $0 }).min() else {
      return true
    }
    return silentSince + 2 * configuration.interval < since + configuration.exposeAfter
  }
}
