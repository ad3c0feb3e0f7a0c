/// Whether a standby's ledgers are what the active host's peers have seen.
struct ReplicaView: Hashable, Sendable {
  /// All ledgers were received, in this session or in the last one, and nothing can have left the active host since that is not
  /// in them.
  private(set) var isComplete = false
  /// The active host has gone on without this session, so its ledgers stay incomplete. A sync that ends later changes nothing.
  private var isVoid = false
  /// The active host's epoch when the session began.
  private var epoch: UInt64 = 0
  /// The instance of the active host's daemon when the session began.
  private var instance: UInt64 = 0
  /// The session lasts, for all that is known.
  private var hasSession = false

  /// Begins a new session. What was known is replaced.
  /// - Parameter isPast: The active host has said since that it is in a later epoch. Heartbeats overtake the stream.
  mutating func begin(epoch: UInt64, instance: UInt64, isPast: Bool) {
    self = ReplicaView()
    isVoid = isPast
    self.epoch = epoch
    self.instance = instance
    hasSession = true
  }

  /// The session has ended. That says nothing against what came in it.
  mutating func endSession() { hasSession = false }

  /// Ends a session whose source's daemon is another one by now.
  ///
  /// A host that died said nothing, and a standby sends nothing that would be answered with a reset.
  /// - Returns: Whether the session has ended now.
  mutating func endSession(after heartbeat: Heartbeat) -> Bool {
    guard hasSession, heartbeat.instance != instance else { return false }
    hasSession = false
    return true
  }

  /// All ledgers have arrived.
  mutating func complete() { isComplete = !isVoid }

  /// The active host goes on without a standby, or its connections are over.
  mutating func discard() {
    isComplete = false
    isVoid = true
  }

  /// A host won an epoch, and may have spoken in it.
  mutating func learn(of epoch: UInt64) { if epoch > self.epoch { discard() } }

  /// Takes what an active host says of its standby. A host says that it goes on alone before the first packet leaves.
  mutating func hear(_ heartbeat: Heartbeat) {
    // A host that was alone and is not any more is in a later epoch.
    guard heartbeat.epoch > epoch || (heartbeat.replication == .exposed && heartbeat.instance != instance) else {
      return
    }
    discard()
  }
}
