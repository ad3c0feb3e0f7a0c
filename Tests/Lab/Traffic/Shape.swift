/// What a connection does. Each shape's output is a function of stream offsets alone, so a process that has only the offsets
/// can go on with it.
///
/// The stream towards the client is `Pattern(seed: 2 × client's port)`, the one from it `Pattern(seed: 2 × client's port + 1)`.
/// The client ends its half when it has had enough; then the server ends its own.
public enum Shape: String, CaseIterable, Sendable {
  /// The server sends without end.
  case download
  /// The client sends without end; at its end the server answers how many bytes came: 8 bytes, big endian.
  case upload
  /// Both at once.
  case both
  /// A request of `messageSize` bytes is answered by as many.
  case pingpong
  /// As `pingpong`, by a client that keeps silent until it is told to speak.
  case idle

  public static let messageSize: UInt64 = 64
  public static let trailerSize: UInt64 = 8

  /// The server's port for this shape, counted from its first one.
  public var portOffset: UInt16 { UInt16(Shape.allCases.firstIndex(of: self) ?? 0) }

  public static func inbound(clientPort: UInt16) -> Pattern { Pattern(seed: UInt64(clientPort) * 2 + 1) }
  public static func outbound(clientPort: UInt16) -> Pattern { Pattern(seed: UInt64(clientPort) * 2) }

  /// Up to which offset the server may send now.
  public func outputLimit(consumed: UInt64, sent: UInt64, inputEnded: Bool) -> UInt64 {
    switch self {
    case .download, .both: inputEnded ? sent : .max
    case .upload: inputEnded ? Shape.trailerSize : 0
    case .pingpong, .idle: consumed / Shape.messageSize * Shape.messageSize
    }
  }
}
