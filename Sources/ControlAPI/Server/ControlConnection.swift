internal import SystemCalls

/// What one client may take.
public struct ControlLimits: Sendable {
  /// Longest call, bytes. One that is longer is skipped and answered with an error.
  public var messageLength = 1 << 20
  /// Calls of one client that are not answered. Those beyond are not read until some are. Behind a call that waits for ever they are
  /// refused instead, and a client that goes on is dropped.
  public var pendingCalls = 256
  /// Replies that a client has not read, bytes. One that is further behind is dropped.
  public var bufferedOutput = 32 << 20
  public var clients = 1024

  public init() {}
}

/// One client. The owner watches `descriptorNumber` for what the connection wants, and calls `readable`, `writable` and `proceed`.
///
/// Only these close it: so no answer that a handler gives can take the connection away under the handler's feet.
public final class ControlConnection {
  public let descriptorNumber: Int32
  /// Called when `wantsRead`, `wantsWrite`, `wantsTurn` or `isClosed` has changed. When it has closed, the descriptor is still open during the
  /// call, and never again.
  public var onUpdate: (() -> Void)?
  public private(set) var isClosed = false
  /// The client can get nothing any more; the connection closes when the owner next calls.
  private(set) var isBroken = false

  let client: ControlClient
  let handler: any ControlHandler
  let info: ServiceInfo
  private var socket: Descriptor?
  private var place: ClientPlace?
  private let limits: ControlLimits
  private let reader: MessageReader
  private var pending: [PendingCall] = []
  /// Calls that came with others in one read and that there is no room for yet.
  private var waiting: [MessageReader.Message] = []
  private var outgoing = OutgoingQueue()
  /// Bytes in `outgoing` and of replies that wait for earlier calls.
  private(set) var buffered = 0
  /// The client shut down its writing half, or what it wrote cannot be understood.
  private var inputEnded = false
  private var reported: (read: Bool, write: Bool, turn: Bool, closed: Bool) = (true, false, false, false)

  /// Reads in one go, so that one client cannot keep the others waiting.
  private static let readsAtOnce = 16

  init(
    _ socket: consuming Descriptor, place: ClientPlace, handler: any ControlHandler, info: ServiceInfo,
    limits: ControlLimits
  ) throws(SystemCallError) {
    client = ControlClient(credentials: try PeerCredentials(of: socket.number))
    descriptorNumber = socket.number
    self.socket = Optional(consume socket)
    self.place = place
    self.handler = handler
    self.info = info
    self.limits = limits
    reader = MessageReader(limit: limits.messageLength)
    client.connection = self
  }

  public var wantsRead: Bool { !isClosed && !inputEnded && waiting.isEmpty && hasRoom }
  public var wantsWrite: Bool { !isClosed && !isBroken && !outgoing.isEmpty }
  /// Calls have come that there is room for now: call `proceed` soon.
  public var wantsTurn: Bool { !isClosed && !isBroken && !waiting.isEmpty && hasRoom }

  /// Another call may be taken, if only to be refused.
  private var hasRoom: Bool {
    guard pending.count >= limits.pendingCalls else { return true }
    return pending.first?.wantsMore ?? false
  }

  /// The descriptor is readable, hung up or failed.
  public func readable() {
    guard !isClosed else { return }
    if inputEnded || isBroken {
      if isBroken || UnixSocket.isHungUp(descriptorNumber) { close() }
      return
    }
    do throws(DescriptorPassingError) {
      reading: for _ in 0..<Self.readsAtOnce where wantsRead && !isBroken {
        switch try reader.read(from: descriptorNumber) {
        case .wouldBlock: break reading
        case .end: inputEnded = true
        case .messages(let messages):
          waiting += messages
          receiveWaiting()
        }
      }
    } catch {
      switch error {
      case .descriptorsLost: refuse(.limitExceeded(limit: "\(error)"))
      case .system: isBroken = true
      }
    }
    settle()
  }

  /// The descriptor is writable.
  public func writable() {
    guard !isClosed else { return }
    flush()
    settle()
  }

  /// Takes calls that had to wait for others.
  public func proceed() {
    guard !isClosed else { return }
    receiveWaiting()
    settle()
  }

  private func receiveWaiting() {
    var count = 0
    while count < waiting.count, hasRoom, !isBroken {
      count += 1
      receive(waiting[count - 1])
    }
    waiting.removeFirst(min(count, waiting.count))
  }

  private func receive(_ message: MessageReader.Message) {
    let header = message.isTooLong ? nil : try? VarlinkCodec.decodeHeader(message.bytes)
    guard header != nil || message.isTooLong else {
      refuse(.invalidParameter(parameter: "method"))
      return
    }
    guard pending.count < 2 * limits.pendingCalls else {
      refuse(.limitExceeded(limit: "\(limits.pendingCalls) unanswered calls"))
      return
    }
    let call = PendingCall(
      connection: self, wantsMore: header?.more ?? false, isOneway: header?.oneway ?? false)
    pending.append(call)
    let reply = Reply<VarlinkCodec.NoParameters>(call: call)
    guard pending.count <= limits.pendingCalls else {
      reply.fail(.limitExceeded(limit: "\(limits.pendingCalls) unanswered calls"))
      return
    }
    guard let header else {
      reply.fail(.limitExceeded(limit: "\(limits.messageLength) bytes for a call"))
      return
    }
    dispatch(message, header: header, call: call)
  }

  /// What came makes no sense, or is too much: nothing after it can be trusted. Says so where that is possible, which is when
  /// no call waits for its reply, and closes.
  private func refuse(_ error: ControlError) {
    inputEnded = true
    waiting = []
    guard pending.isEmpty, let bytes = try? VarlinkCodec.encodeError(error) else {
      isBroken = true
      return
    }
    buffered += bytes.count
    outgoing.append(contentsOf: [OutgoingMessage(bytes, descriptor: nil)])
    flush()
  }

  /// A call got a reply of `count` bytes.
  /// - Returns: whether the client can still get it.
  func answered(_ count: Int) -> Bool {
    guard buffered <= limits.bufferedOutput else {
      breakOff()
      return false
    }
    buffered += count
    while let first = pending.first {
      outgoing.append(contentsOf: first.output)
      first.output = []
      if first.phase == .open { break }
      pending.removeFirst()
    }
    flush()
    if inputEnded && waiting.isEmpty && pending.isEmpty && outgoing.isEmpty { breakOff() }
    report()
    return !isBroken
  }

  /// Makes the descriptor hang up, so that the owner calls and the connection closes.
  func breakOff() {
    isBroken = true
    UnixSocket.shutDown(descriptorNumber)
    report()
  }

  private func flush() {
    guard !isBroken, !isClosed else { return }
    do throws(SystemCallError) {
      buffered -= try outgoing.flush(to: descriptorNumber)
    } catch {
      // The client is gone, or cannot be reached: the same.
      isBroken = true
      UnixSocket.shutDown(descriptorNumber)
    }
  }

  /// After reading and writing: closes what is done.
  private func settle() {
    let isDone =
      inputEnded && (waiting.isEmpty && pending.isEmpty && outgoing.isEmpty || UnixSocket.isHungUp(descriptorNumber))
    if isBroken || isDone { close() } else { report() }
  }

  private func report() {
    let current = (read: wantsRead, write: wantsWrite, turn: wantsTurn, closed: isClosed)
    guard current != reported else { return }
    reported = current
    onUpdate?()
  }

  private func close() {
    isClosed = true
    isBroken = true
    outgoing.removeAll()
    waiting = []
    report()
    onUpdate = nil
    socket = nil
    place = nil
    let abandoned = pending
    pending = []
    for call in abandoned { call.cancel() }
    handler.clientGone(client)
  }
}
