internal import ControlAPI
internal import Glibc
internal import Holdfast
internal import LinuxNetwork
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import SystemCalls
internal import SystemPackage
internal import TCPModel

/// A client's connection and the one to its server, with the output of one being the input of the other.
///
/// In each direction one buffer is under way: a leg is read again when the other has taken what was read, so a peer that does
/// not read stops the other one, and memory is bounded. (When a peer has ended its stream NIO reads what the kernel still has of
/// it at once.) Input is confirmed to the daemon when the other leg's peer has acknowledged it: only then can no host that goes
/// on with the session need it again.
///
/// Everything here happens on one event loop.
final class Session: @unchecked Sendable {
  struct Settings: Sendable {
    let control: ControlLink
    let logger: Logger
    /// ns without a byte; nil for ever.
    var idleTimeout: UInt64?
  }

  let key: SessionKey
  private let loop: any EventLoop
  private let settings: Settings
  private let front: Leg
  private let back: Leg
  private let onEnd: @Sendable () -> Void

  private var isDone = false
  private var watch: Scheduled<Void>?
  private var watchInterval = Session.usual
  private var lastMove = NIODeadline.now()

  /// So much is read at once, and held, in each direction.
  static let bufferSize = 1 << 16
  /// Confirmed at once when so much is new; less waits for the watch.
  private static let confirmAt = 256 << 10
  /// Between two looks at what no event tells: soon after an end, later while only small input waits to be confirmed.
  private static let shortest = TimeAmount.milliseconds(20)
  private static let usual = TimeAmount.milliseconds(250)
  private static let longest = TimeAmount.milliseconds(1000)

  /// - Parameter onEnd: called once, when both legs are over.
  init(
    _ key: SessionKey, front: Leg, back: Leg, on loop: any EventLoop, settings: Settings,
    onEnd: @escaping @Sendable () -> Void
  ) {
    self.key = key
    self.front = front
    self.back = back
    self.loop = loop
    self.settings = settings
    self.onEnd = onEnd
  }

  private subscript(side: SessionKey.Side) -> Leg { side == .front ? front : back }

  /// - Parameter header: what the server must be sent first.
  func start(header: [UInt8]) {
    loop.assertInEventLoop()
    for leg in [front, back] {
      open(leg).whenComplete { [self] result in
        if case .failure(let error) = result {
          abort("cannot go on with the \(leg.side.rawValue) leg: \(error)")
        } else if front.channel != nil, back.channel != nil, !isDone {
          begin(header)
        }
      }
    }
    if settings.idleTimeout != nil { watchIdle() }
  }

  private func open(_ leg: Leg) -> EventLoopFuture<Void> {
    let descriptor: Int32
    do throws(SystemCallError) {
      descriptor = try leg.socket.duplicate().release()
    } catch {
      return loop.makeFailedFuture(error)
    }
    let side = leg.side
    return ClientBootstrap(group: loop)
      .channelOption(.autoRead, value: false)
      .channelOption(.allowRemoteHalfClosure, value: true)
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.bufferSize))
      .channelInitializer { [self] channel in
        leg.channel = channel
        return channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(LegHandler(side, of: self))
        }
      }
      .withConnectedSocket(descriptor).map { _ in }
  }

  private func begin(_ header: [UInt8]) {
    if !header.isEmpty, let channel = back.channel {
      send(channel.allocator.buffer(bytes: header), on: back)
    } else {
      front.channel?.read()
    }
    back.channel?.read()
  }

  // MARK: Events of the channels

  func received(_ buffer: ByteBuffer, on side: SessionKey.Side) {
    guard !isDone else { return }
    lastMove = .now()
    let leg = self[side]
    var buffer = buffer
    let known = min(leg.skip, buffer.readableBytes)
    leg.skip -= known
    leg.taken += known
    buffer.moveReaderIndex(forwardBy: known)
    if buffer.readableBytes > 0 {
      leg.taken += buffer.readableBytes
      send(buffer, on: self[side.other])
    } else if self[side.other].queued == 0 {
      leg.channel?.read()
    }
  }

  private func send(_ buffer: ByteBuffer, on leg: Leg) {
    let (side, count) = (leg.side, buffer.readableBytes)
    guard let channel = leg.channel else { return abort("the \(name(of: side)) is gone") }
    leg.queued += count
    channel.writeAndFlush(buffer).whenComplete { [self] result in
      guard case .success = result else { return }
      leg.queued -= count
      leg.written += count
      wrote(side)
    }
  }

  private func wrote(_ side: SessionKey.Side) {
    guard !isDone else { return }
    lastMove = .now()
    let (leg, partner) = (self[side], self[side.other])
    if leg.queued == 0 {
      if partner.hasEnded { finish(leg) } else { partner.channel?.read() }
    }
    if leg.written - leg.preface - partner.confirmed >= Self.confirmAt { confirm(partner) }
    arm()
  }

  /// The peer's stream is at its end.
  func ended(_ side: SessionKey.Side) {
    let (leg, partner) = (self[side], self[side.other])
    guard !isDone, !leg.hasEnded else { return }
    lastMove = .now()
    guard leg.skip == 0 else { return abort("the \(name(of: side))'s stream ends before what was sent on of it") }
    leg.hasEnded = true
    if partner.queued == 0 { finish(partner) }
    arm()
  }

  /// The channel is gone: the peer broke off, or both its streams are at their end.
  func closed(_ side: SessionKey.Side, _ failure: (any Error)?) {
    let leg = self[side]
    leg.channel = nil
    guard !isDone else { return }
    if let failure { return abort("the \(name(of: side)) broke off: \(failure)") }
    if leg.hasFinished {
      ended(side)
    } else {
      abort("the \(name(of: side)) broke off")
    }
  }

  private func name(of side: SessionKey.Side) -> String { side == .front ? "client" : "server" }

  // MARK: Ends

  /// Ends a leg's output: all of the partner's input has been written.
  private func finish(_ leg: Leg) {
    guard !leg.hasFinished else { return }
    leg.hasFinished = true
    do throws(SystemCallError) {
      // Not through the channel: that closes the socket instead when its input is at its end, and a close ends nothing.
      try SocketEnd.finish(leg.socket.number)
    } catch {
      if error.errno != .socketNotConnected { return abort("cannot end the \(name(of: leg.side))'s stream: \(error)") }
    }
    watchInterval = Self.shortest
    watch?.cancel()
    watch = nil
    arm()
  }

  /// Both peers have everything: the daemon may forget the session.
  private func complete() {
    end { leg in
      if let id = leg.id { settings.control.release(id, how: .close) }
    }
  }

  /// What cannot go on ends with a reset, on both sides.
  func abort(_ reason: String) {
    guard !isDone else { return }
    settings.logger.debug("session aborted", metadata: metadata.merging(["reason": "\(reason)"]) { $1 })
    end { leg in
      if let id = leg.id { settings.control.release(id, how: .reset) }
      do throws(SystemCallError) {
        try SocketEnd.reset(leg.socket.number)
      } catch {
        settings.logger.debug("cannot reset", metadata: ["error": "\(error)"])
      }
    }
  }

  private func end(_ how: (Leg) -> Void) {
    guard !isDone else { return }
    isDone = true
    watch?.cancel()
    for leg in [front, back] {
      how(leg)
      leg.channel?.close(promise: nil)
    }
    onEnd()
  }

  // MARK: The watch

  /// Looks again while something is outstanding that no event tells: an acknowledgement, the end of an end.
  private func arm() {
    guard watch == nil, !isDone, isUnfinished else { return }
    watch = loop.scheduleTask(in: watchInterval) { [self] in look() }
  }

  private var isClosing: Bool { front.hasFinished && back.hasFinished }

  private var isUnfinished: Bool {
    isClosing || front.hasFinished || back.hasFinished || front.confirmed < front.taken || back.confirmed < back.taken
  }

  private func look() {
    watch = nil
    guard !isDone else { return }
    let ends = (front.end, back.end)
    if ends == (.orderly, .orderly) { return complete() }
    if ends.0 == .broken || ends.1 == .broken { return abort("a peer broke off after its end") }
    confirm(front)
    confirm(back)
    watchInterval = min(watchInterval * 2, Self.longest)
    arm()
  }

  /// Tells the daemon how much of a leg's input the other leg's peer has.
  private func confirm(_ leg: Leg) {
    let partner = self[leg.side.other]
    guard let id = leg.id else {
      leg.confirmed = leg.taken
      return
    }
    let offset = min(partner.acknowledged - partner.preface, leg.taken)
    guard !leg.isConfirming, offset > leg.confirmed else { return }
    leg.isConfirming = true
    settings.control.confirm(id, consumed: offset) { [self] result in
      loop.execute { [self] in
        leg.isConfirming = false
        guard !isDone else { return }
        switch result {
        case .success:
          leg.confirmed = offset
          watchInterval = isClosing ? Self.shortest : Self.usual
        // The daemon was stopped while no standby followed: its connections go on without protection.
        case .failure(.refused(.noSuchConnection)): leg.id = nil
        case .failure(.refused(let error)):
          settings.logger.error("the daemon refuses an offset", metadata: ["connection": "\(id)", "error": "\(error)"])
          abort("the daemon refuses to go on with \(id)")
        // The daemon is away; what is not confirmed is kept, so the next one hears it.
        case .failure: break
        }
        arm()
      }
    }
  }

  private func watchIdle() {
    guard let limit = settings.idleTimeout, !isDone else { return }
    let due = lastMove + .nanoseconds(Int64(clamping: limit))
    guard due > .now() else { return abort("nothing moved for \(limit / 1_000_000) ms") }
    loop.scheduleTask(deadline: due) { [weak self] in self?.watchIdle() }
  }

  private var metadata: Logger.Metadata {
    [
      "session": "\(key.session)", "frontend": "\(key.frontend)", "server": "\(key.server)",
      "client": "\(front.peer.map { "\($0)" } ?? "")",
    ]
  }
}
