internal import ControlAPI
internal import LinuxNetwork
internal import NIOCore
internal import SystemCalls
internal import TCPModel

/// One of the two connections of a session, with how far it is. Only its session's event loop touches it.
final class Leg: @unchecked Sendable {
  let side: SessionKey.Side
  /// The socket: NIO has a duplicate, and lets go of it before the session does.
  let socket: Descriptor
  /// The daemon's name for it; nil when it is not protected.
  var id: String?
  let peer: Endpoint?
  var channel: (any Channel)?

  /// Input offset of the next byte that the partner has not been given.
  var taken: Int
  /// Of the input that comes next, so much has been sent by the partner already: on the host that died.
  var skip = 0
  /// Input offset up to which the daemon need not keep it.
  var confirmed: Int
  var isConfirming = false
  /// The peer has ended its stream, and all of it was read.
  var hasEnded = false

  /// Output offset up to which the kernel has everything.
  var written: Int
  /// Bytes that NIO has and the kernel does not.
  var queued = 0
  /// Output that is not the partner's input: the PROXY header.
  let preface: Int
  /// Our end of the stream was sent, or waits behind data in the kernel.
  var hasFinished = false

  init(
    _ side: SessionKey.Side, socket: consuming Descriptor, id: String?, peer: Endpoint?, consumed: Int, sent: Int,
    preface: Int
  ) {
    self.side = side
    self.socket = socket
    self.id = id
    self.peer = peer
    taken = consumed
    confirmed = consumed
    written = sent
    self.preface = preface
  }

  /// Output offset up to which the peer has everything, or less: what NIO has written in part counts as unwritten.
  var acknowledged: Int {
    guard let unacknowledged = try? SocketQueues.unacknowledged(socket.number) else { return 0 }
    return max(written - max(unacknowledged - (hasFinished ? 1 : 0), 0), 0)
  }

  /// A restored socket remembers that its output was ended.
  func learnWhetherFinished() {
    guard let info = try? TCPInfo(socket.number) else { return }
    hasFinished = info.state.hasSentFin || info.state == .close
  }

  enum End {
    /// Both ends have been sent and acknowledged.
    case orderly
    /// The peer or the host broke it off before its output was through.
    case broken
  }

  /// What became of a leg whose both streams are at their end; nil while that is not settled.
  var end: End? {
    guard hasEnded, hasFinished, let info = try? TCPInfo(socket.number), info.state == .close else { return nil }
    return (try? SocketQueues.unacknowledged(socket.number)) == 0 ? .orderly : .broken
  }
}
