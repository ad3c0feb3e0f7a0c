/// Whether a standby's ledgers are what the active host's peers have seen.
struct ReplicaView: Hashable, Sendable {
  /// All ledgers were received, in this session or in the last one, and nothing can have left the active host since that is not
  /// in them.
  private(set) var isComplete = false
  /// Something was said against what comes in this session: the end of a sync that is read later does not count.
  private var isVoid = false
  /// The active host's epoch when the session began, and its instance.
  private var epoch: UInt64 = 0
  private var instance: UInt64 = 0
  /// The session lasts, for all that is known.
  private var hasSession = false

  /// A new session: what was known is replaced.
  /// - Parameter isPast: the active host has said since that it is in a later epoch: heartbeats overtake the stream.
  mutating func begin(epoch: UInt64, instance: UInt64, isPast: Bool) {
    self = ReplicaView()
    isVoid = isPast
    self.epoch = epoch
    self.instance = instance
    hasSession = true
  }

  /// The session has ended. That says nothing against what came in it.
  mutating func endSession() { hasSession = false }

  /// A session whose source's daemon is another one by now: a host that died said nothing, and a standby sends nothing that would
  /// be answered with a reset. Says so once.
  mutating func endSession(after heartbeat: Heartbeat) -> Bool {
    guard hasSession, heartbeat.instance != instance else { return false }
    hasSession = false
    return true
  }

  mutating func complete() { isComplete = !isVoid }

  /// The active host goes on without a standby, or its connections are over.
  mutating func discard() {
    isComplete = false
    isVoid = true
  }

  /// Somebody won an epoch, and may have spoken in it.
  mutating func learn(of epoch: UInt64) { if epoch > self.epoch { discard() } }

  /// What an active host says of its standby. That it goes on alone it says before the first packet leaves.
  mutating func hear(_ heartbeat: Heartbeat) {
    // It may have stopped meanwhile: then the epoch tells that it has.
    guard heartbeat.epoch > epoch || (heartbeat.replication == .exposed && heartbeat.instance != instance) else {
      return
    }
    discard()
  }
}
