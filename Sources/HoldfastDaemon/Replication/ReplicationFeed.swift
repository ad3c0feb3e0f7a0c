internal import HostCore
internal import Replication
internal import SystemCalls

/// The pair's host core, with the stream that everything on the active host writes its records to, and the way to get it
/// moving.
final class ReplicationFeed {
  var host: Host
  /// Sends what is due; set by the channel while a standby is attached.
  var onFlush: (() -> Void)?
  private var linger: Timer?
  private var isLingering = false

  /// How long records that nothing waits for may wait for company, ns: those of requests then travel with those of answers.
  private static let lingering: UInt64 = 1_000_000
  /// Bytes that do not wait.
  private static let lingeringLimit = 1 << 16

  init(_ host: consuming Host, loop: EventLoop) throws(SystemCallError) {
    self.host = host
    linger = try loop.addTimer(priority: LoopPriority.replication, description: "replication linger") { [weak self] in
      self?.isLingering = false
      self?.flush()
    }
  }

  var source: ReplicationSource {
    @inline(__always) _read { yield host.source }
    @inline(__always) _modify { yield &host.source }
  }

  @inline(__always)
  func flush() {
    if source.outgoing.unsentCount > 0 { onFlush?() }
  }

  /// Sends soon what no held packet waits for; now if it is much, or if the standby has acknowledged all else: then it may be
  /// asleep, and being awake when the answer's record comes saves the answer more time than company saves work. (This is
  /// Nagle's algorithm, RFC 896, with the standby's acknowledgements.)
  func flushSoon() {
    let count = source.outgoing.unsentCount
    guard count > 0 else { return }
    if count >= Self.lingeringLimit || source.lag == UInt64(count) { return flush() }
    guard !isLingering else { return }
    isLingering = true
    linger?.set(at: MonotonicClock.now + Self.lingering)
  }
}
