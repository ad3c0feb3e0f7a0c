internal import HeapModule
internal import LinuxNetwork
internal import Replication
internal import SystemCalls
internal import TCPModel

/// Learns how far applications have read, so that the standby does not present input twice and can forget it.
///
/// No packet tells it. It is sampled when a packet leaves (what it says may follow from what was read), and by timer while
/// input is waiting; a connection whose input is read costs nothing.
final class Sampler {
  /// Nanoseconds to the first look after input has arrived, and between looks at an application that does not read.
  static let shortest: UInt64 = 10_000_000
  static let longest: UInt64 = 640_000_000

  private let feed: ReplicationFeed
  private var timer: Timer?
  /// Each connection is in it once at most (`isSampling`).
  private var waiting = Heap<Look>()

  private struct Look: Comparable {
    var due: UInt64
    var connection: LiveConnection
    static func < (left: Look, right: Look) -> Bool { left.due < right.due }
    static func == (left: Look, right: Look) -> Bool { left.due == right.due }
  }
  private static let perTurn = 256

  init(feed: ReplicationFeed, loop: EventLoop) throws(SystemCallError) {
    self.feed = feed
    timer = try loop.addTimer(priority: LoopPriority.background, description: "sampler") { [weak self] in self?.tick() }
  }

  /// Input for this connection has reached the host.
  @inline(__always)
  func inputArrived(_ connection: LiveConnection) {
    if !connection.isSampling, connection.ledger.identity.retention == .read { watch(connection, after: Self.shortest) }
  }

  /// Looks now, and tells the standby what is new.
  func sample(_ connection: LiveConnection) {
    guard connection.ledger.identity.retention == .read else { return }
    // A socket that fails this call is gone; its hang-up event deals with it.
    guard let sequence = try? connection.sampleConsumed() else { return }
    let former = connection.ledger.input.reportedConsumed
    guard sequence.isAfter(former) else { return }
    feed.source.record(.consumed(sequence), in: connection.ledger)
  }

  private func watch(_ connection: LiveConnection, after interval: UInt64) {
    connection.isSampling = true
    connection.sampleInterval = interval
    let due = MonotonicClock.now + interval
    waiting.insert(Look(due: due, connection: connection))
    if due < next { arm(due) }
  }

  private var next = UInt64.max
  private func arm(_ due: UInt64) {
    next = due
    timer?.set(at: due)
  }

  private func tick() {
    let now = MonotonicClock.now
    // What is looked at again below is armed when all have had their turn.
    next = 0
    for _ in 0..<Self.perTurn {
      guard let first = waiting.min, first.due <= now else { break }
      let connection = waiting.removeMin().connection
      if connection.isGone { continue }
      let before = connection.ledger.input.reportedConsumed
      sample(connection)
      connection.isSampling = false
      guard connection.ledger.input.mayHaveUnreported, !connection.ledger.wasReset else { continue }
      let moved = connection.ledger.input.reportedConsumed != before
      watch(connection, after: moved ? Self.shortest : min(connection.sampleInterval * 2, Self.longest))
    }
    next = .max
    if let first = waiting.min { arm(first.due) }
    feed.flushSoon()
  }
}
