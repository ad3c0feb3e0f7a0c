public import TCPModel

/// The order in which the connections of a host that is gone are continued.
///
/// A peer with much in flight is asked where it is before its socket is built, so that what it has is not sent again and what
/// it lacks goes out at once. The others are restored without a question. Each connection goes its own way.
public struct Restoration {
  public enum Order {
    /// Ask the peer where it is, with a segment that it must answer (`SegmentBuilder.probe`).
    case ask(Ledger)
    /// Build the socket. What is ahead of the boundary counts as sent.
    /// - Parameter wasAnswered: the peer has told its position.
    case restore(Ledger, sentBoundary: SequenceNumber, wasAnswered: Bool)
    /// End the connection at its peer: it cannot go on.
    case lose(Ledger, reason: String)
  }

  /// Connections that are neither restored nor lost yet.
  public private(set) var ledgers: LedgerBook
  /// Why none of them may be restored.
  private let obstacle: String?
  /// Those whose peer has been asked and has not answered.
  private var asked: [UInt64: Ledger] = [:]
  private var begun: UInt64 = 0
  private var attempts = 0

  /// ns after the first question: neighbours may need a moment to learn the new link-layer address.
  private static let schedule: [UInt64] = [0, 10_000_000, 30_000_000, 60_000_000, 90_000_000]
  /// A peer that has not answered by then is not waited for, ns.
  private static let limit: UInt64 = 120_000_000
  /// The kernel's initial congestion window, segments (RFC 6928): as much goes out at once, so that even an acknowledgement
  /// of all of it meets data that has been sent.
  private static let initialWindow = 10

  public init(of ledgers: LedgerBook, obstacle: String? = nil) {
    self.ledgers = ledgers
    self.obstacle = obstacle
  }

  /// Whether some peer's answer is waited for.
  public var isWaiting: Bool { !asked.isEmpty }
  /// When `look` is to be called, CLOCK_MONOTONIC, ns; nil when no answer is waited for.
  public var nextLook: UInt64? {
    guard isWaiting else { return nil }
    return begun + (attempts < Self.schedule.count ? Self.schedule[attempts] : Self.limit)
  }

  /// The addresses are here: peers can be reached.
  /// - Returns: first those that are lost, then the questions, so that the answers travel while the others are restored; of each
  ///   kind the oldest connection first.
  public mutating func begin(now: UInt64) -> [Order] {
    begun = now
    attempts = 1
    var (lost, ready): ([Order], [Order]) = ([], [])
    for ledger in ledgers.all.sorted(by: Self.isOlder) {
      if let obstacle = obstacle ?? ledger.obstacle {
        lost.append(.lose(ledger, reason: obstacle))
      } else if Self.mustAsk(ledger) {
        asked[ledger.identity.id] = ledger
      } else {
        ready.append(.restore(ledger, sentBoundary: ledger.output.sndUna, wasAnswered: false))
      }
    }
    return lost + questions + ready
  }

  private var unanswered: [Ledger] { asked.values.sorted(by: Self.isOlder) }
  private var questions: [Order] { unanswered.map(Order.ask) }
  private static func isOlder(_ one: Ledger, _ other: Ledger) -> Bool { one.identity.id < other.identity.id }

  private static func mustAsk(_ ledger: Ledger) -> Bool {
    ledger.output.unacknowledgedCount > initialWindow * Int(ledger.negotiated.maximumSegmentSize)
  }

  /// Time has passed.
  public mutating func look(now: UInt64) -> [Order] {
    guard let nextLook, now >= nextLook else { return [] }
    guard now < begun + Self.limit else {
      // No answer: what was sent is put back as sent, and the kernel's own timers find out.
      defer { asked = [:] }
      return unanswered.map { .restore($0, sentBoundary: $0.output.sndNxt, wasAnswered: false) }
    }
    attempts += 1
    return questions
  }

  /// A packet of a connection that has no socket yet. It is folded and not recorded: a standby gets the ledger as a whole
  /// when the socket stands.
  /// - Parameter selective: the highest selective acknowledgement that it has.
  /// - Returns: what follows from it, when it was the answer to a question. Otherwise it is to wait for the socket.
  public mutating func take(
    _ header: SegmentHeader, _ payload: UnsafeRawBufferPointer, selective: SequenceNumber?, of ledger: Ledger
  ) -> Order? {
    ledger.apply(.ingress(header, payload))
    guard asked[ledger.identity.id] != nil, header.flags.contains(.ack),
      header.acknowledgement == ledger.output.sndUna
    else { return nil }
    asked[ledger.identity.id] = nil
    // The peer's true position. Behind a hole it may hold more: its next acknowledgement jumps over that, so it must meet data
    // that counts as sent.
    let boundary = selective.map { SequenceNumber.earliest($0, ledger.output.sndNxt) } ?? ledger.output.sndUna
    return .restore(ledger, sentBoundary: boundary, wasAnswered: true)
  }

  /// It is restored, or lost.
  public mutating func settle(_ ledger: Ledger) {
    asked[ledger.identity.id] = nil
    ledgers.remove(ledger.identity.id)
  }
}
