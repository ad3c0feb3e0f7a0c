/// What a frame of the replication channel is about. The numbers are the protocol: never reuse one.
public enum FrameType: UInt8, Sendable {
  /// First frame in both directions: who speaks, which protocol.
  case hello = 1
  /// The other side is refused; the body is the reason as UTF-8 text. The channel closes.
  case refuse = 2
  /// Active to standby: a ledger as a whole. It replaces what was known of the connection.
  case baseline = 4
  case ingress = 5
  case egress = 6
  /// The application has consumed input up to a sequence number.
  case consumed = 7
  /// Socket options that changed.
  case options = 8
  /// The connection is over, or no longer protected.
  case release = 9
  /// The standby forgets everything: baselines of all connections follow.
  case syncBegin = 10
  /// Everything that happened before this frame has been sent.
  case syncEnd = 11
  /// Standby to active: everything below a stream position is folded.
  case acknowledge = 12
  /// The sender stops on purpose.
  case goodbye = 13
  /// Application state: a `Checkpoint` as its record.
  case checkpoint = 14
  /// The application says that input up to a stream offset (8 bytes) is consumed.
  case confirm = 15
  /// Active to standby: the beginning of a baseline that is longer than a frame should be. More parts follow, and the baseline with
  /// the rest, with nothing of another kind between them.
  case baselinePart = 16
}

/// A frame as received. `body` is memory of the stream: valid until the next bytes are taken in.
public struct Frame {
  /// The type's number; unknown ones of the same major version are skipped.
  public let type: UInt8
  /// The connection it is about; 0 for none.
  public let connection: UInt64
  public let body: UnsafeRawBufferPointer
  /// Stream position one past this frame.
  public let end: UInt64

  /// Bytes ahead of the body: length (4, of the body), type (1), flags (1), reserved (2), connection (8); big-endian.
  public static let headerCount = 16
  /// Longest body, bytes.
  public static let bodyLimit = 64 << 20
  /// Bytes of a baseline in one frame. A ledger with both queues at the kernel's default limits (tcp_rmem, tcp_wmem) is about as much;
  /// hosts on long fat networks have limits of hundreds of megabytes.
  public static let baselineShare = 8 << 20
}

/// Why the other side's bytes cannot be followed; the channel closes, nothing else is harmed.
public enum ProtocolError: Error, Hashable, Sendable {
  case frameTooLong(Int)
  /// A body is shorter than its type needs, or its values contradict each other.
  case malformed(FrameType)
  /// The first frame was not a hello, or its magic number is wrong: not a Holdfast peer.
  case notHoldfast
  case otherMajorVersion(UInt16)
  /// A frame that the other side may not send in its role.
  case unexpected(FrameType)
  /// The other side acknowledged what was never sent.
  case acknowledgementBeyondEnd
  /// The other side refused us, for this reason.
  case refused(String)
}

extension ProtocolError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .frameTooLong(let count): "a frame of \(count) bytes is over the limit of \(Frame.bodyLimit)"
    case .malformed(let type): "malformed \(type) frame"
    case .notHoldfast: "the other side does not speak the Holdfast replication protocol"
    case .otherMajorVersion(let version):
      "the other side speaks protocol version \(version), this one \(Hello.majorVersion): upgrade both hosts to the same release"
    case .unexpected(let type): "unexpected \(type) frame"
    case .acknowledgementBeyondEnd: "the standby acknowledged more than was sent"
    case .refused(let reason): "the other side refused: \(reason)"
    }
  }
}
