internal import DequeModule
internal import LinuxNetwork
internal import Logging
internal import SystemCalls
internal import TCPModel

/// Asks the peers of lost connections where they are, again and again: each answer meets no socket, and the kernel resets it with the
/// peer's own number (RFC 5961 section 3.2).
///
/// The takeover has reset each peer and asked it once. Both can be lost on the way, and so can the kernel's reset; a peer that only
/// receives says nothing by itself and would wait for ever. A peer that knows by now answers with a reset, which means nothing here.
final class Farewells {
  private struct Farewell {
    let due: UInt64
    /// Enough to ask with.
    let ledger: Ledger
  }

  private let sender: RawSender
  /// Whether the flow is a connection's again, or this host is not active any more.
  private let isOver: (Flow) -> Bool
  private let logger: Logger
  private var timer: Timer?
  /// The first intervals first; each list is in order of `due`.
  private var waiting: [Deque<Farewell>]

  /// Longer than a peer's pause between two such answers (tcp_invalid_ratelimit), ns; each next one is twice as long.
  private static let first: UInt64 = 600_000_000
  /// The last question comes some 40 s after the takeover.
  private static let attempts = 6
  private static let perTurn = 64

  init(sender: RawSender, loop: EventLoop, logger: Logger, isOver: @escaping (Flow) -> Bool) throws(SystemCallError) {
    self.sender = sender
    self.logger = logger
    self.isOver = isOver
    waiting = Array(repeating: [], count: Self.attempts)
    timer = try loop.addTimer(priority: LoopPriority.background, description: "farewells") { [weak self] in
      self?.tick()
    }
  }

  func add(_ ledger: Ledger) {
    waiting[0].append(Farewell(due: MonotonicClock.now + Self.first, ledger: ledger.standIn))
    arm()
  }

  private func arm() {
    if let next = waiting.lazy.compactMap({ $0.first?.due }).min() { timer?.set(at: next) } else { timer?.disarm() }
  }

  private func tick() {
    let now = MonotonicClock.now
    var budget = Self.perTurn
    for attempt in waiting.indices {
      while budget > 0, let farewell = waiting[attempt].first, farewell.due <= now {
        waiting[attempt].removeFirst()
        budget -= 1
        guard !isOver(farewell.ledger.flow) else { continue }
        ask(farewell.ledger, now)
        guard attempt + 1 < Self.attempts else { continue }
        let pause = Self.first << UInt64(attempt + 1)
        waiting[attempt + 1].append(Farewell(due: now + pause, ledger: farewell.ledger))
      }
    }
    arm()
  }

  private func ask(_ ledger: Ledger, _ now: UInt64) {
    do {
      try sender.send(SegmentBuilder.probe(for: ledger, now: now))
    } catch {
      logger.debug("cannot ask a peer", metadata: ["peer": "\(ledger.flow.peer)", "error": "\(error)"])
    }
  }
}
