internal import DequeModule
internal import LinuxNetwork
internal import Logging
internal import Replication
internal import SystemCalls
internal import TCPModel

/// Puts connections under protection: adds the flow to the packet table, takes a baseline, and says when the standby holds it.
///
/// Between the two lies a short wait. From the first on every packet of the connection passes the queues, but
/// one that another processor had already taken through netfilter may still be on its way to the socket or the wire; after the
/// wait it has arrived, and the baseline includes it. This is the only time that repair mode touches the socket: the
/// application waits in its call.
final class Registrar {
  struct Request {
    var socket: SharedDescriptor
    var flow: Flow
    var identity: ConnectionIdentity
    var owner: PeerCredentials
    /// The outcome; called once.
    var completion: (Result<Outcome, RegistrationError>) -> Void
  }

  struct Outcome {
    var connection: LiveConnection
    /// Why the standby could not continue it now; nil when it could.
    var reason: String?
  }

  private let table: ConnectionTable
  private let feed: ReplicationFeed
  private let flows: PairFlows
  private var timer: Timer?
  private let logger: Logger
  private var queued: Deque<(due: UInt64, request: Request)> = []
  /// Flows in the packet table that have no connection yet, and how many requests name each.
  private var registering: [Flow: Int] = [:]
  /// Registered, waiting for the standby: in order of position.
  private var unacknowledged:
    Deque<(position: UInt64, outcome: Outcome, completion: (Result<Outcome, RegistrationError>) -> Void)> = []
  /// A connection has a baseline: watch it.
  var onRegistered: ((LiveConnection) -> Void)?

  /// Longer than any interrupt handler that was on its way through the stack when the flow was added.
  private static let settling: UInt64 = 2_000_000
  private static let mostAtOnce = 64

  init(table: ConnectionTable, feed: ReplicationFeed, flows: PairFlows, loop: EventLoop, logger: Logger)
    throws(SystemCallError)
  {
    self.table = table
    self.feed = feed
    self.flows = flows
    self.logger = logger
    timer = try loop.addTimer(priority: LoopPriority.control, description: "registrar") { [weak self] in self?.tick() }
  }

  func register(_ request: Request) {
    registering[request.flow, default: 0] += 1
    do {
      try flows.add(request.flow)
    } catch {
      leave(request.flow)
      return request.completion(.failure(.table("\(error)")))
    }
    let now = MonotonicClock.now
    queued.append((now + Self.settling, request))
    if queued.count == 1 { timer?.set(at: now + Self.settling) }
  }

  func isRegistering(_ flow: Flow) -> Bool { registering[flow] != nil }
  var flowsUnderWay: Dictionary<Flow, Int>.Keys { registering.keys }

  /// The request is over: its flow stays in the table if it has a connection now.
  private func leave(_ flow: Flow) {
    let count = registering[flow] ?? 0
    registering[flow] = count > 1 ? count - 1 : nil
    flows.changed(flow)
  }

  private func tick() {
    let now = MonotonicClock.now
    // Packets and heartbeats want their turn between two parts of a large batch.
    let count = queued.prefix(Self.mostAtOnce).prefix { $0.due <= now }.count
    let ready = Array(queued.prefix(count))
    queued.removeFirst(count)
    for (_, request) in ready { takeBaseline(request) }
    if let next = queued.first { timer?.set(at: max(next.due, now)) }
    feed.flush()
    reportProtected()
  }

  private func takeBaseline(_ request: Request) {
    defer { leave(request.flow) }
    do {
      // Between the two the table may have been changed by somebody else.
      if let problem = flows.problem { throw RegistrationError.table(problem) }
      let now = MonotonicClock.now
      let snapshot = try RepairSnapshot.take(request.socket.number)
      let image = LedgerImage(registering: snapshot.state, as: request.identity, unsent: snapshot.unsentCount)
      let connection = try LiveConnection(
        ledger: Ledger(image), socket: request.socket, state: snapshot.state, owner: request.owner)
      table.insert(connection)
      connection.baselinePosition = feed.source.register(connection.ledger, now: now)
      onRegistered?(connection)
      let outcome = Outcome(connection: connection, reason: connection.ledger.obstacle)
      guard feed.source.phase != .detached else {
        request.completion(.success(Outcome(connection: connection, reason: "no standby follows")))
        return
      }
      unacknowledged.append((feed.source.outgoing.position, outcome, request.completion))
    } catch {
      request.completion(.failure(RegistrationError(error)))
    }
  }

  /// Takes back what has no baseline yet, and answers the rest as far as it has come.
  func abandonAll() {
    for (_, request) in queued {
      leave(request.flow)
      request.completion(.failure(.unsupported("the daemon is about to start again: register it then")))
    }
    queued = []
    timer?.disarm()
    let waiting = unacknowledged
    unacknowledged = []
    for (_, outcome, completion) in waiting {
      completion(.success(Outcome(connection: outcome.connection, reason: "the daemon is about to start again")))
    }
  }

  /// Answers registrations whose baseline the standby holds.
  func reportProtected() {
    guard !unacknowledged.isEmpty else { return }
    if feed.source.phase == .detached {
      let waiting = unacknowledged
      unacknowledged = []
      for (_, outcome, completion) in waiting {
        completion(.success(Outcome(connection: outcome.connection, reason: "the standby was lost")))
      }
      return
    }
    guard feed.source.phase == .synced else { return }
    while let (position, outcome, completion) = unacknowledged.first, position <= feed.source.acknowledged {
      unacknowledged.removeFirst()
      completion(.success(outcome))
    }
  }
}

/// Why a connection was not put under protection.
enum RegistrationError: Error {
  case unsupported(String)
  case system(SystemCallError)
  /// The packet table did not take the flow, or is not in force.
  case table(String)

  init(_ error: any Error) {
    switch error {
    case let error as RegistrationError: self = error
    case let error as UnsupportedSocket: self = .unsupported("\(error)")
    case let error as SystemCallError: self = .system(error)
    default: self = .unsupported("\(error)")
    }
  }
}
