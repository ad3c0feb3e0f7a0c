internal import ControlAPI
internal import Holdfast
internal import LinuxNetwork
internal import Logging
internal import NIOCore
internal import Synchronization
internal import SystemCalls
internal import TCPModel

/// Turns clients into sessions: finds them a server, registers both legs, and only then lets a byte pass, so that offsets on
/// both legs count from the first byte on.
final class Admission: Sendable {
  private let configuration: ProxyConfiguration
  private let control: ControlLink
  private let group: any EventLoopGroup
  private let logger: Logger
  private let sessions = Atomic<Int>(0)
  private let complaint = Mutex<String?>(nil)
  private let resumed = Mutex(0)

  init(_ configuration: ProxyConfiguration, control: ControlLink, group: any EventLoopGroup, logger: Logger) {
    self.configuration = configuration
    self.control = control
    self.group = group
    self.logger = logger
  }

  var count: Int { sessions.load(ordering: .relaxed) }

  // MARK: New sessions

  private typealias Registration = Result<RegisterReply, HoldfastError>

  /// Both sockets while they are registered, and what came of it.
  private final class Candidate: Sendable {
    let key: SessionKey
    let flow: Flow
    let server: ServerPool.Connected
    let client: Shared<Descriptor>
    private let answers = Mutex<(front: Registration?, back: Registration?)>((nil, nil))

    init(_ key: SessionKey, flow: Flow, client: consuming Descriptor, server: consuming ServerPool.Connected) {
      self.key = key
      self.flow = flow
      self.client = Shared(client)
      self.server = server
    }

    /// - Returns: both answers once they are there.
    func note(_ side: SessionKey.Side, _ answer: Registration) -> (front: Registration, back: Registration)? {
      answers.withLock { answers in
        if side == .front { answers.front = answer } else { answers.back = answer }
        guard let front = answers.front, let back = answers.back else { return nil }
        return (front, back)
      }
    }
  }

  func admit(_ client: consuming Descriptor, from listener: Listener, to pool: ServerPool) {
    guard let local = try? SocketAddress.local(of: client.number),
      let peer = try? SocketAddress.peer(of: client.number)
    else { return listener.left() }
    let flow = Flow(local: local, peer: peer)
    let boxed = Shared(client)
    pool.connect(for: flow) { [self] connected in
      guard let client = boxed.take() else { return listener.left() }
      guard let connected else {
        logger.warning(
          "no server can be reached; client reset",
          metadata: ["frontend": "\(listener.frontend.name)", "client": "\(flow.peer)"])
        reset(client)
        return listener.left()
      }
      register(client, connected, flow, listener, pool)
    }
  }

  private func register(
    _ client: consuming Descriptor, _ server: consuming ServerPool.Connected, _ flow: Flow, _ listener: Listener,
    _ pool: ServerPool
  ) {
    let key = SessionKey(
      session: SessionKey.newSession(), frontend: listener.frontend.name, server: server.server,
      header: pool.configuration.header)
    let (front, back) = (client.number, server.socket.number)
    let candidate = Candidate(key, flow: flow, client: client, server: server)
    for (side, number) in [(SessionKey.Side.front, front), (.back, back)] {
      control.register(number, key: key.text(side)) { [self] answer in
        guard let answers = candidate.note(side, answer) else { return }
        let loop = group.next()
        loop.execute { [self] in registered(candidate, answers, on: loop, listener, pool) }
      }
    }
  }

  private func registered(
    _ candidate: Candidate, _ answers: (front: Registration, back: Registration), on loop: any EventLoop,
    _ listener: Listener, _ pool: ServerPool
  ) {
    guard let client = candidate.client.take() else { return }
    var ids: (front: String?, back: String?) = (try? answers.front.get().id, try? answers.back.get().id)
    if ids.front == nil || ids.back == nil {
      // One leg alone is of no use to another host.
      for id in [ids.front, ids.back] { if let id { control.release(id, how: .keep) } }
      ids = (nil, nil)
      complain(Self.reason(answers.front) ?? Self.reason(answers.back))
      if configuration.unprotected == .refuse {
        reset(client)
        pool.giveBack(candidate.server.index)
        return listener.left()
      }
    } else {
      complain(nil)
    }
    let header = ProxyHeader.bytes(candidate.key.header, client: candidate.flow.peer, service: candidate.flow.local)
    guard let server = try? candidate.server.socket.duplicate() else {
      reset(client)
      pool.giveBack(candidate.server.index)
      return listener.left()
    }
    let legs = (
      front: Leg(
        .front, socket: client, id: ids.front, peer: candidate.flow.peer, consumed: 0, sent: 0, preface: 0),
      back: Leg(
        .back, socket: server, id: ids.back, peer: candidate.server.server, consumed: 0, sent: 0, preface: header.count)
    )
    let index = candidate.server.index
    start(candidate.key, legs, header: header, on: loop, listener.frontend) {
      pool.giveBack(index)
      listener.left()
    }
  }

  private static func reason(_ result: Registration) -> String? {
    guard case .failure(let error) = result else { return nil }
    return "\(error)"
  }

  /// Says once why connections are not protected, and once that they are again.
  private func complain(_ reason: String?) {
    let former = complaint.withLock { complaint in
      defer { complaint = reason }
      return complaint
    }
    guard reason != former else { return }
    if let reason {
      let what = configuration.unprotected == .refuse ? "refused" : "served unprotected"
      logger.warning("connections cannot be protected and are \(what)", metadata: ["reason": "\(reason)"])
    } else {
      logger.notice("connections are protected again")
    }
  }

  // MARK: Sessions of the other host

  /// Goes on with a session of which both legs were adopted.
  func resume(
    _ front: consuming Adopter.Half, _ back: consuming Adopter.Half, _ listener: Listener?, _ pool: ServerPool?
  ) {
    let key = front.key
    let (frontInfo, backInfo) = (front.info, back.info)
    guard let client = Endpoint(frontInfo.peer), let service = Endpoint(frontInfo.local) else {
      return giveUp(frontInfo, backInfo, "the daemon names the client \(frontInfo.peer)")
    }
    let header = ProxyHeader.bytes(key.header, client: client, service: service)
    guard
      let point = ResumePoint(
        front: ResumePoint.Leg(consumed: frontInfo.consumed, sent: frontInfo.sent),
        back: ResumePoint.Leg(consumed: backInfo.consumed, sent: backInfo.sent), header: header.count)
    else {
      return giveUp(frontInfo, backInfo, "input is gone that was not sent on")
    }
    let legs = (
      front: Leg(
        .front, socket: front.socket, id: frontInfo.id, peer: client, consumed: frontInfo.consumed,
        sent: frontInfo.sent, preface: 0),
      back: Leg(
        .back, socket: back.socket, id: backInfo.id, peer: key.server, consumed: backInfo.consumed,
        sent: backInfo.sent, preface: header.count)
    )
    legs.front.skip = point.frontSkip
    legs.back.skip = point.backSkip
    for leg in [legs.front, legs.back] { leg.learnWhetherFinished() }
    let index = pool?.resume(key.server)
    listener?.entered()
    let loop = group.next()
    let frontend = listener?.frontend
    countResumed(on: loop)
    loop.execute { [self] in
      start(key, legs, header: Array(header.dropFirst(point.headerSent)), on: loop, frontend) {
        if let index { pool?.giveBack(index) }
        listener?.left()
      }
    }
  }

  private func giveUp(_ front: ConnectionInfo, _ back: ConnectionInfo, _ reason: String) {
    logger.error(
      "a session cannot go on; reset", metadata: ["reason": "\(reason)", "client": "\(front.peer)"])
    control.release(front.id, how: .reset)
    control.release(back.id, how: .reset)
  }

  /// One line for all that came with a takeover.
  private func countResumed(on loop: any EventLoop) {
    let isFirst = resumed.withLock { resumed in
      resumed += 1
      return resumed == 1
    }
    guard isFirst else { return }
    loop.scheduleTask(in: .milliseconds(500)) { [self] in
      let count = resumed.withLock { resumed in
        defer { resumed = 0 }
        return resumed
      }
      logger.notice("went on with the other host's sessions", metadata: ["sessions": "\(count)"])
    }
  }

  // MARK: Both

  private func start(
    _ key: SessionKey, _ legs: (front: Leg, back: Leg), header: [UInt8], on loop: any EventLoop,
    _ frontend: ProxyConfiguration.Frontend?, _ onEnd: @escaping @Sendable () -> Void
  ) {
    sessions.add(1, ordering: .relaxed)
    let settings = Session.Settings(control: control, logger: logger, idleTimeout: frontend?.idleTimeout)
    let session = Session(key, front: legs.front, back: legs.back, on: loop, settings: settings) { [self] in
      sessions.subtract(1, ordering: .relaxed)
      onEnd()
    }
    session.start(header: header)
  }

  private func reset(_ socket: borrowing Descriptor) {
    do throws(SystemCallError) {
      try SocketEnd.reset(socket.number)
    } catch {
      logger.debug("cannot reset", metadata: ["error": "\(error)"])
    }
  }
}

/// Carries what exists once into a closure that may run on another thread.
final class Shared<Value: ~Copyable & Sendable>: Sendable {
  private let value: Mutex<Value?>
  init(_ value: consuming sending Value) { self.value = Mutex(value) }
  func take() -> Value? { value.withLock { $0.take() } }
}
