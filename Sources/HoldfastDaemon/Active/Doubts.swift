internal import LinuxNetwork
internal import Logging
internal import Replication
internal import SystemCalls
internal import TCPModel

/// Connections whose packets may have passed unrecorded, and the way back to certainty.
///
/// From the moment of the doubt a standby knows that it cannot continue them. Each ledger is then compared with its socket while
/// the connection's packets wait: where they agree it is true; else it is begun anew, as after a crash of the daemon, and is true
/// again when its gap has closed (`LedgerGap`).
final class Doubts {
  private let pair: String
  private let table: ConnectionTable
  private let feed: ReplicationFeed
  private let logger: Logger
  private var timer: Timer?
  /// Doubted, and the standby has not been told yet.
  private var untold: [LiveConnection] = []
  private var waiting: [LiveConnection] = []
  /// Looked at, and too busy to be compared.
  private var restless: [LiveConnection] = []
  /// When ledgers may be compared, ns.
  private var earliest: UInt64 = 0
  private var lastOfAll: UInt64 = 0
  /// A ledger was begun anew, and lacks what the peer would tell.
  var onBegun: (() -> Void)?

  /// Longer than any packet needs that was on its way through the stack, ns.
  private static let settling: UInt64 = 2_000_000
  /// While the table is changed again and again it is waited for to stay as it is for so long, ns: comparing has its price.
  private static let calm: UInt64 = 2_000_000_000
  private static let storm: UInt64 = 10_000_000_000
  private static let perTurn = 32

  init(pair: String, table: ConnectionTable, feed: ReplicationFeed, loop: EventLoop, logger: Logger)
    throws(SystemCallError)
  {
    self.pair = pair
    self.table = table
    self.feed = feed
    self.logger = logger
    timer = try loop.addTimer(priority: LoopPriority.control, description: "doubts of \(pair)") { [weak self] in
      self?.clearSome()
    }
  }

  /// Nobody can say of any connection what has passed.
  /// - Returns: how many there are.
  func raiseAll(_ reason: String) -> Int {
    let now = MonotonicClock.now
    let isStorm = lastOfAll != 0 && now - lastOfAll < Self.storm
    lastOfAll = now
    for connection in table.all { raise(connection, reason) }
    earliest = now + (isStorm ? Self.calm : Self.settling)
    // The standby is told at once.
    timer?.set(at: now)
    return table.count
  }

  /// A packet of this connection has passed unrecorded.
  func raise(one connection: LiveConnection, _ reason: String) {
    guard connection.doubt == nil else { return }
    raise(connection, reason)
    let now = MonotonicClock.now
    earliest = max(earliest, now + Self.settling)
    timer?.set(at: now)
  }

  private func raise(_ connection: LiveConnection, _ reason: String) {
    if connection.doubt == nil {
      untold.append(connection)
      waiting.append(connection)
    }
    table.doubt(connection, reason)
  }

  /// A packet of a doubted connection has come.
  /// - Returns: whether its ledger can be folded into now.
  func clear(_ connection: LiveConnection) -> Bool {
    guard MonotonicClock.now >= earliest else { return false }
    compare(connection)
    return connection.doubt == nil
  }

  private func clearSome() {
    let now = MonotonicClock.now
    // Also of those whose ledger has been begun anew by now: what the standby holds of them is old.
    for connection in untold.prefix(Self.perTurn) where connection.isSettling && !connection.isGone {
      tell(connection, now)
    }
    untold.removeFirst(min(Self.perTurn, untold.count))
    guard untold.isEmpty else {
      feed.flush()
      timer?.set(at: now)
      return
    }
    if now >= earliest {
      let some = waiting.prefix(Self.perTurn)
      waiting.removeFirst(some.count)
      for connection in some where connection.doubt != nil && !connection.isGone {
        compare(connection)
        if connection.doubt != nil { restless.append(connection) }
      }
    }
    feed.flush()
    if waiting.isEmpty {
      swap(&waiting, &restless)
      earliest = max(earliest, now + Self.settling)
    }
    if !waiting.isEmpty { timer?.set(at: max(now, earliest)) }
  }

  private func tell(_ connection: LiveConnection, _ now: UInt64) {
    guard let standIn = table.ledgers[connection.id] else { return }
    connection.baselinePosition = feed.source.register(standIn, now: now)
  }

  private func compare(_ connection: LiveConnection) {
    do {
      let record = try SocketRecord(connection, pair: pair)
      let socket = try SocketSurvey(connection.socket.number)
      if connection.ledger.agrees(with: record.survey(socket)) {
        connection.doubt = nil
      } else if let (image, gap) = record.begun(at: socket, cause: .unrecordedPackets) {
        connection.renew(Ledger(image, gap: gap))
        connection.doubt = nil
        onBegun?()
        return
      }
      guard connection.doubt == nil else { return }
      table.settle(connection)
      connection.baselinePosition = feed.source.register(connection.ledger, now: MonotonicClock.now)
    } catch {
      // It has ended, or does not stand still: its hang-up, or its next packet, brings it here again.
      logger.debug("cannot compare", metadata: ["connection": "\(connection.name)", "error": "\(error)"])
    }
  }
}
