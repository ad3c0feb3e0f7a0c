/// A call that came and is not answered for good.
final class PendingCall {
  enum Phase {
    /// The handler has it.
    case open
    /// The last reply is given; it may still wait for earlier calls of the client.
    case answered
    /// The client is gone.
    case cancelled
  }

  let client: ControlClient
  let wantsMore: Bool
  let isOneway: Bool
  /// Replies that wait for an earlier call of the client to be answered.
  var output: [OutgoingMessage] = []
  var onHangup: (() -> Void)?
  private(set) var phase = Phase.open
  private weak var connection: ControlConnection?

  init(connection: ControlConnection, wantsMore: Bool, isOneway: Bool) {
    self.connection = connection
    client = connection.client
    self.wantsMore = wantsMore
    self.isOneway = isOneway
  }

  var isCancelled: Bool { phase == .cancelled || connection?.isBroken ?? true }

  /// - Returns: whether the client can still get it.
  func answer(_ message: OutgoingMessage, isLast: Bool) -> Bool {
    guard phase == .open, let connection, !connection.isBroken else { return false }
    if !isOneway { output.append(message) }
    if isLast {
      phase = .answered
      onHangup = nil
    }
    return connection.answered(isOneway ? 0 : message.bytes.count)
  }

  /// The reply could not be put into bytes: the client cannot be left waiting.
  func abandon() -> Bool {
    connection?.breakOff()
    return false
  }

  func cancel() {
    guard phase == .open else { return }
    phase = .cancelled
    let hangup = onHangup
    onHangup = nil
    hangup?()
  }
}
