internal import LinuxNetwork
internal import Logging
internal import Replication
internal import SystemCalls
internal import TCPModel

/// The standby's end of the channel: keeps a connection to the active host, folds what comes, and acknowledges it.
final class ReplicationClient {
  private let local: IPAddress
  private let peer: Endpoint
  private let security: ChannelSecurity
  private let loop: EventLoop
  private let logger: Logger
  private let hello: () -> Hello
  private var retry: Timer?

  private var connecting: (socket: StreamSocket, events: IOSource)?
  private var session: ChannelSession?
  private var outgoing = OutgoingStream()
  private var acknowledged: UInt64 = 0
  /// Something has come that the active host may hold a packet, or an answer, for.
  private var isAwaited = false
  private var linger: Timer?
  private var isLingering = false
  private(set) var replica = Replica()
  /// Flows of the ledgers that a sync replaces.
  private(set) var formerFlows: Set<Flow> = []
  private(set) var source: Hello?
  private var isFollowing = false
  private var lastFailure: String?

  /// The active host answered: its stream begins.
  var onFollowing: ((Hello) -> Void)?
  /// A connection has become known.
  var onConnection: ((Flow) -> Void)?
  /// A connection is known no longer.
  var onForgotten: ((Flow) -> Void)?
  var onSynced: (() -> Void)?
  var onGoodbye: ((Goodbye) -> Void)?
  /// The channel broke: the ledgers are no longer current.
  var onDetach: ((String) -> Void)?

  private static let retryInterval: UInt64 = 100_000_000
  private static let connectTimeout: UInt64 = 1_000_000_000
  /// How long an acknowledgement that nobody waits for may wait for one that somebody does, ns: the records of a request are
  /// then acknowledged with those of its answer, and the active host is not disturbed between the two.
  private static let lingering: UInt64 = 1_000_000
  /// Bytes whose acknowledgement does not wait.
  private static let lingeringLimit: UInt64 = 1 << 16

  init(
    local: IPAddress, peer: Endpoint, security: ChannelSecurity, loop: EventLoop, hello: @escaping () -> Hello,
    logger: Logger
  ) throws(SystemCallError) {
    self.local = local
    self.peer = peer
    self.security = security
    self.loop = loop
    self.hello = hello
    self.logger = logger
    retry = try loop.addTimer(priority: LoopPriority.background, description: "replication retry") { [weak self] in
      self?.attempt()
    }
    linger = try loop.addTimer(priority: LoopPriority.replication, description: "acknowledgement linger") {
      [weak self] in
      self?.isLingering = false
      self?.acknowledge()
    }
  }

  var isAttached: Bool { session != nil && source != nil }

  /// Connects, and again whenever the connection ends, until `stop`.
  func follow() {
    guard !isFollowing else { return }
    isFollowing = true
    attempt()
  }

  /// Ends the session, and connects again.
  func leave(_ reason: String) { session?.close(reason) }

  func stop() {
    isFollowing = false
    retry?.disarm()
    connecting?.events.cancel()
    connecting = nil
    session?.close("no longer following")
  }

  /// Tells the active host that this one stops: it need not wait for it.
  func sayGoodbye() {
    guard source != nil else { return }
    outgoing.append(.goodbye, body: [Goodbye.leaving.rawValue])
    flush()
  }

  /// The ledgers, for a takeover; following ends.
  func takeLedgers() -> LedgerBook {
    let ledgers = replica.takeLedgers()
    let former = formerFlows
    formerFlows = []
    for flow in former { onForgotten?(flow) }
    stop()
    return ledgers
  }

  func forgetLedgers() {
    let flows = formerFlows.union(replica.ledgers.all.map(\.flow))
    formerFlows = []
    replica.reset()
    for flow in flows { onForgotten?(flow) }
  }

  private func attempt() {
    guard isFollowing else { return }
    if let session {
      if source == nil { session.close("no hello within \(Self.connectTimeout / 1_000_000_000) s") }
      return
    }
    connecting?.events.cancel()
    connecting = nil
    retry?.set(at: MonotonicClock.now + Self.connectTimeout)
    do {
      let socket = try StreamSocket.connect(to: peer, from: local)
      let events = try loop.addIO(
        socket.descriptor, .writable, priority: LoopPriority.control, description: "replication connect"
      ) { [weak self] _ in self?.connected() }
      connecting = (socket, events)
    } catch {
      failed("\(error)")
    }
  }

  private func failed(_ reason: String) {
    if reason != lastFailure {
      lastFailure = reason
      logger.info("cannot follow the peer yet", metadata: ["peer": "\(peer)", "reason": "\(reason)"])
    }
    if isFollowing { retry?.set(at: MonotonicClock.now + Self.retryInterval) }
  }

  private func connected() {
    guard let (socket, events) = connecting else { return }
    events.cancel()
    connecting = nil
    do {
      try socket.finishConnect()
      let session = try ChannelSession(security.connected(socket), loop: loop)
      self.session = session
      source = nil
      acknowledged = 0
      outgoing = OutgoingStream()
      session.onFrame = { [weak self] frame throws(ProtocolError) in try self?.take(frame) }
      session.onBurst = { [weak self] in self?.acknowledgeSoon() }
      session.onWritable = { [weak self] in self?.flush() }
      session.onClose = { [weak self] reason in self?.closed(reason) }
      outgoing.append(.hello, body: hello().encoded)
      flush()
    } catch {
      failed("\(error)")
    }
  }

  private func flush() {
    if let session, let failure = session.flush(&outgoing) { session.close(failure) }
  }

  private func closed(_ reason: String) {
    let wasAttached = source != nil
    session = nil
    source = nil
    if wasAttached {
      lastFailure = nil
      onDetach?(reason)
    }
    failed(reason)
  }

  private func take(_ frame: Frame) throws(ProtocolError) {
    guard source != nil else { return try greet(frame) }
    let event = try replica.fold(frame, now: MonotonicClock.now)
    if case .recorded(let isAwaited)? = event {
      if isAwaited { self.isAwaited = true }
      return
    }
    isAwaited = true
    switch event {
    case .known(let flow)?: onConnection?(flow)
    case .forgotten(let flow)?: onForgotten?(flow)
    // Nothing is said of flows that a new sync begins with: they stay in the table until it has ended.
    case .began(let former)?: formerFlows.formUnion(former)
    case .synced?:
      for flow in formerFlows { onForgotten?(flow) }
      formerFlows = []
      onSynced?()
    case .goodbye(let kind)?: onGoodbye?(kind)
    case .recorded?, nil: break
    }
  }

  private func greet(_ frame: Frame) throws(ProtocolError) {
    if frame.type == FrameType.refuse.rawValue {
      throw .refused(String(decoding: frame.body.prefix(1024), as: UTF8.self))
    }
    let theirs = try Hello(frame)
    let ours = hello()
    guard theirs.pair == ours.pair else {
      throw .refused("\(peer) replicates pair \"\(theirs.pair)\", not \"\(ours.pair)\"")
    }
    retry?.disarm()
    lastFailure = nil
    session?.rebase(to: theirs.position)
    acknowledged = theirs.position
    source = theirs
    onFollowing?(theirs)
    logger.info("following", metadata: ["peer": "\(theirs.node)", "epoch": "\(theirs.epoch)"])
  }

  private func acknowledgeSoon() {
    if isAwaited || (session?.position ?? 0) - acknowledged >= Self.lingeringLimit { return acknowledge() }
    guard !isLingering else { return }
    isLingering = true
    linger?.set(at: MonotonicClock.now + Self.lingering)
  }

  private func acknowledge() {
    guard let session, source != nil, session.position > acknowledged else { return }
    isAwaited = false
    acknowledged = session.position
    outgoing.appendNumber(.acknowledge, acknowledged)
    flush()
  }
}
