internal import DaemonSupport
internal import HostCore
internal import LinuxNetwork
internal import Logging
internal import Replication
internal import SystemCalls
internal import TCPModel

/// The active host's end of the channel: takes the standby's connection and feeds it.
///
/// The socket listens in every role, so that a peer which mistakes this host for the active one is told so, and not left to
/// time out.
final class ReplicationServer {
  struct Identity {
    var hello: () -> Hello
    /// Whether this host is the one to follow.
    var isSource: () -> Bool
  }

  private let listener: StreamListener
  private let loop: EventLoop
  private let feed: ReplicationFeed
  private let table: ConnectionTable
  private let identity: Identity
  private let security: ChannelSecurity
  /// The one host that may connect.
  private let peer: IPAddress
  private let logger: Logger
  private var accepting: IOSource?
  private var timer: Timer?

  /// Connections that have not said hello yet.
  private var strangers: [ObjectIdentifier: (session: ChannelSession, deadline: UInt64)] = [:]
  private var standby: ChannelSession?

  /// Called with the standby's hello when one is attached.
  var onAttach: ((Hello) -> Void)?
  /// The host has something to be done.
  var onEffects: (() -> Void)?

  /// Connections that were refused.
  private(set) var refused = 0
  private var refusals = LogThrottle()

  /// Bounds what strangers can cost. The peer needs one.
  private static let strangerLimit = 16
  private static let helloTimeout: UInt64 = 2_000_000_000

  init(
    listeningOn local: Endpoint, for peer: IPAddress, security: ChannelSecurity, loop: EventLoop, feed: ReplicationFeed,
    table: ConnectionTable, identity: Identity,
    logger: Logger
  ) throws(SystemCallError) {
    listener = try StreamListener(on: local)
    self.peer = peer
    self.security = security
    self.loop = loop
    self.feed = feed
    self.table = table
    self.identity = identity
    self.logger = logger
    accepting = try loop.addIO(
      listener.descriptor, .readable, priority: LoopPriority.control, description: "replication listener"
    ) { [weak self] _ in self?.acceptAll() }
    timer = try loop.addTimer(priority: LoopPriority.background, description: "hello timeout") { [weak self] in
      self?.dropSilent()
    }
    feed.onFlush = { [weak self] in self?.flush() }
  }

  /// Ends the standby's session; it may connect again.
  func detach(_ reason: String) { standby?.close(reason) }

  private func flush() {
    guard standby != nil else { return }
    feed.host.pump(table.ledgers, now: MonotonicClock.now)
    carryOn()
    if let standby, let failure = standby.flush(&feed.host.source.outgoing) { standby.close(failure) }
  }

  @inline(__always)
  private func carryOn() {
    if feed.host.hasNext { onEffects?() }
  }

  private func acceptAll() {
    do {
      while let socket = try listener.accept() {
        guard socket.peer.address == peer else {
          refuse(socket.peer, "it is not the peer's address \(peer)")
          continue
        }
        // Whoever has waited longest has had time enough; a peer that is what it says needs a few milliseconds.
        if strangers.count >= Self.strangerLimit {
          strangers.values.min { $0.deadline < $1.deadline }?.session.close("others came, and it had not said hello")
        }
        let session = try ChannelSession(security.accepted(socket), loop: loop)
        let key = ObjectIdentifier(session)
        session.onFrame = { [weak self, unowned session] frame throws(ProtocolError) in
          try self?.greet(session, frame)
        }
        session.onClose = { [weak self] reason in
          self?.strangers[key] = nil
          self?.refuse(socket.peer, reason)
        }
        strangers[key] = (session, MonotonicClock.now + Self.helloTimeout)
        timer?.set(at: strangers.values.map(\.deadline).min() ?? 0)
      }
    } catch {
      logger.warning("cannot accept a replication connection", metadata: ["error": "\(error)"])
    }
  }

  private func refuse(_ stranger: Endpoint, _ reason: String) {
    refused += 1
    guard let times = refusals.admit(now: MonotonicClock.now) else { return }
    logger.warning(
      "replication connection refused",
      metadata: ["peer": "\(stranger)", "reason": "\(reason)", "times": "\(times)"])
  }

  private func dropSilent() {
    let now = MonotonicClock.now
    for (session, deadline) in strangers.values where deadline <= now {
      session.close("no hello within \(Self.helloTimeout / 1_000_000_000) s")
    }
    if let next = strangers.values.map(\.deadline).min() { timer?.set(at: next) }
  }

  /// The first frame of a connection.
  private func greet(_ session: ChannelSession, _ frame: Frame) throws(ProtocolError) {
    let theirs = try Hello(frame)
    let ours = identity.hello()
    if let reason = refusal(of: theirs, by: ours) {
      var farewell = OutgoingStream()
      farewell.append(.refuse, body: Array(reason.utf8))
      _ = session.flush(&farewell)
      session.close(reason)
      return
    }
    // A standby that connects again has given up its former connection, whatever that one's socket says.
    standby?.close("the standby connected again")
    strangers[ObjectIdentifier(session)] = nil
    standby = session
    session.onFrame = { [weak self] frame throws(ProtocolError) in
      guard let self else { return }
      try feed.host.receive(fromStandby: frame)
      carryOn()
    }
    session.onWritable = { [weak self] in self?.flush() }
    session.onClose = { [weak self] reason in
      guard let self else { return }
      standby = nil
      feed.host.handle(.standbyEnded(reason: reason), now: MonotonicClock.now)
      carryOn()
    }
    onAttach?(theirs)
    feed.host.attach(ours, connections: table.ledgers.all.map(\.identity.id))
    carryOn()
    flush()
  }

  private func refusal(of theirs: Hello, by ours: Hello) -> String? {
    if theirs.pair != ours.pair {
      return "this end replicates pair \"\(ours.pair)\", not \"\(theirs.pair)\": give both hosts the same pair name"
    }
    if theirs.node == ours.node {
      return "both hosts call themselves \"\(ours.node)\": give each its own [node] name"
    }
    if !identity.isSource() { return "\(ours.node) is not active for pair \"\(ours.pair)\"" }
    if !theirs.supportsMicroseconds, table.all.contains(where: { $0.ledger.timestamp.unit == .microseconds }) {
      return "connections with microsecond timestamps need Linux 6.7 or later on \(theirs.node)"
    }
    return nil
  }
}
