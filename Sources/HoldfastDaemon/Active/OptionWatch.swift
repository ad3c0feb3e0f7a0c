internal import LinuxNetwork
internal import Replication
internal import SystemCalls
internal import TCPModel

/// Follows the socket options that applications change after the registration: a restored socket has those of the last look.
///
/// No event tells of a change, so every connection is looked at once in a round, a few at each turn. What has not changed costs
/// some system calls here and nothing on the wire.
final class OptionWatch {
  private static let turnLength: UInt64 = 250_000_000
  private static let turns = 20

  private let table: ConnectionTable
  private let feed: ReplicationFeed
  private var timer: Timer?
  private var turn = 0
  /// Who is still to be looked at in this round.
  private var rest: [LiveConnection] = []
  /// Sockets that had sent more than was recorded when they were looked at; what still waited in the queue then is recorded by
  /// `due` (ns), and what was lost on the way there has come again.
  private var suspects: [(due: UInt64, connection: LiveConnection, sent: SequenceNumber)] = []
  private static let suspicion: UInt64 = 2_000_000_000
  /// Packets of this connection passed that were not recorded.
  var onUnrecorded: ((LiveConnection) -> Void)?
  /// Whether packets are being taken in as they come.
  var isReading: () -> Bool = { true }

  init(table: ConnectionTable, feed: ReplicationFeed, loop: EventLoop) throws(SystemCallError) {
    self.table = table
    self.feed = feed
    timer = try loop.addTimer(priority: LoopPriority.background, description: "option watch") { [weak self] in
      self?.tick()
    }
    timer?.set(at: MonotonicClock.now + Self.turnLength)
  }

  private func tick() {
    endHaste(now: MonotonicClock.now)
    judge(now: MonotonicClock.now)
    if turn == 0 { rest = Array(table.all) }
    let left = Self.turns - turn
    for _ in 0..<(rest.count + left - 1) / left {
      if let connection = rest.popLast(), table[connection.id] === connection {
        look(at: connection)
        suspect(connection)
      }
    }
    turn = (turn + 1) % Self.turns
    feed.flushSoon()
    timer?.set(at: MonotonicClock.now + Self.turnLength)
  }

  /// Compares what the kernel says was sent with what was recorded. It needs nobody to tell of a change of the packet table.
  func suspect(_ connection: LiveConnection) {
    guard isReading(), connection.doubt == nil, connection.resending == nil, let sent = try? connection.kernelSent(),
      connection.ledger.output.lacks(before: sent)
    else { return }
    suspects.append((MonotonicClock.now + Self.suspicion, connection, sent))
  }

  private func judge(now: UInt64) {
    guard let first = suspects.first, first.due <= now else { return }
    let due = suspects.prefix { $0.due <= now }
    suspects.removeFirst(due.count)
    guard isReading() else { return }
    for (_, connection, sent) in due
    where table[connection.id] === connection && connection.doubt == nil && connection.ledger.output.lacks(before: sent)
    {
      onUnrecorded?(connection)
    }
  }

  /// Restored sockets do not keep their short timeouts for longer than what was lost needs to be sent again.
  func endHaste(now: UInt64) {
    for connection in table.all {
      guard let end = connection.hasteEnds, end <= now else { continue }
      RestoredSocket.endHaste(connection.socket.number, connection.ledger.options)
      connection.hasteEnds = nil
      table.onChange?(connection)
    }
  }

  /// - Returns: whether something was new, and the standby is told.
  @discardableResult
  func look(at connection: LiveConnection) -> Bool {
    // What it has now is not the application's.
    if connection.hasteEnds != nil { return false }
    let ledger = connection.ledger
    let options = SocketOptionsCopy.read(connection.socket.number)
    guard options != ledger.options, !options.values.isEmpty else { return false }
    feed.source.record(.options(options), in: ledger)
    return true
  }
}
