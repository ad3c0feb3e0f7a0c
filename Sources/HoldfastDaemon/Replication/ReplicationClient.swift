internal import HostCore
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
  private let feed: ReplicationFeed
  private let hello: () -> Hello
  private var retry: Timer?

  private var connecting: (socket: StreamSocket, events: IOSource)?
  private var session: ChannelSession?
  private var outgoing = OutgoingStream()
  private var linger: Timer?
  private var isLingering = false
  private var isFollowing = false
  private var lastFailure: String?

  /// The host has something to be done.
  var onEffects: (() -> Void)?

  private static let retryInterval: UInt64 = 100_000_000
  private static let connectTimeout: UInt64 = 1_000_000_000
  /// How long an acknowledgement that nobody waits for may wait for one that somebody does, ns: the records of a request are
  /// then acknowledged with those of its answer, and the active host is not disturbed between the two.
  private static let lingering: UInt64 = 1_000_000

  init(
    local: IPAddress, peer: Endpoint, security: ChannelSecurity, loop: EventLoop, feed: ReplicationFeed,
    hello: @escaping () -> Hello, logger: Logger
  ) throws(SystemCallError) {
    self.local = local
    self.peer = peer
    self.security = security
    self.loop = loop
    self.feed = feed
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

  var isAttached: Bool { session != nil && hasBegun }
  private var hasBegun: Bool { feed.host.leader.hello != nil }

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
    guard hasBegun else { return }
    outgoing.append(.goodbye, body: [Goodbye.leaving.rawValue])
    flush()
  }

  private func attempt() {
    guard isFollowing else { return }
    if let session {
      if !hasBegun { session.close("no hello within \(Self.connectTimeout / 1_000_000_000) s") }
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
    guard isFollowing else { return }
    if reason != lastFailure {
      lastFailure = reason
      logger.info("cannot follow the peer yet", metadata: ["peer": "\(peer)", "reason": "\(reason)"])
    }
    retry?.set(at: MonotonicClock.now + Self.retryInterval)
  }

  private func connected() {
    guard let (socket, events) = connecting else { return }
    events.cancel()
    connecting = nil
    do {
      try socket.finishConnect()
      let session = try ChannelSession(security.connected(socket), loop: loop)
      self.session = session
      feed.host.handle(.sourceConnecting, now: MonotonicClock.now)
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
    session = nil
    if hasBegun { lastFailure = nil }
    feed.host.handle(.sourceEnded(reason: reason), now: MonotonicClock.now)
    carryOn()
    failed(reason)
  }

  @inline(__always)
  private func carryOn() {
    if feed.host.hasNext { onEffects?() }
  }

  private func take(_ frame: Frame) throws(ProtocolError) {
    if let position = try feed.host.receive(fromSource: frame, now: MonotonicClock.now) {
      retry?.disarm()
      lastFailure = nil
      session?.rebase(to: position)
    }
    carryOn()
  }

  private func acknowledgeSoon() {
    if feed.host.mustAcknowledge(session?.position ?? 0) { return acknowledge() }
    guard !isLingering else { return }
    isLingering = true
    linger?.set(at: MonotonicClock.now + Self.lingering)
  }

  private func acknowledge() {
    guard let session, feed.host.acknowledge(session.position) else { return }
    outgoing.appendNumber(.acknowledge, session.position)
    flush()
  }
}
