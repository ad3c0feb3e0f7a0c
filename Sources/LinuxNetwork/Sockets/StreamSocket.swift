internal import CLinux
internal import Glibc
public import SystemCalls
internal import SystemPackage
public import TCPModel

/// What carries the bytes of a replication channel: a socket as it is, or one with TLS around it. Errors are those of the socket
/// and of whatever is around it; after one nothing is read or written any more.
public protocol ByteTransport: AnyObject {
  /// To wait on.
  var descriptor: Int32 { get }
  /// Reads into `space`.
  /// - Returns: bytes read, 0 at the end of the stream, nil when nothing is there yet.
  func read(into space: UnsafeMutableRawBufferPointer) throws -> Int?
  /// Writes the pieces one after the other.
  /// - Returns: bytes taken, nil when none can be taken now.
  func write(_ pieces: [UnsafeRawBufferPointer]) throws -> Int?
  /// Bytes can be written: nothing has to be read for that first.
  var isEstablished: Bool { get }
  /// Bytes were taken that the socket has not: `flush` when it is writable.
  var hasUnsentBytes: Bool { get }
  func flush() throws
  /// Bytes are left to read of which the descriptor says nothing any more.
  var hasBufferedInput: Bool { get }
}

extension ByteTransport {
  public var isEstablished: Bool { true }
  public var hasUnsentBytes: Bool { false }
  public func flush() throws {}
  public var hasBufferedInput: Bool { false }
}

/// A non-blocking TCP socket of the daemon's own: the plaintext transport.
public final class StreamSocket: ByteTransport {
  private let socket: Descriptor
  /// Who is at the other end, for messages.
  public let peer: Endpoint

  /// Takes over a connected, or connecting, non-blocking socket.
  init(_ socket: consuming Descriptor, peer: Endpoint) {
    self.socket = socket
    self.peer = peer
  }

  /// Makes a socket fit for the channel. Before it connects or listens (an accepted one inherits it): the window that a
  /// connection begins with, and the largest that it comes to, follow from the buffer that it is made with.
  static func prepare(_ socket: Int32, on subject: Endpoint) throws(SystemCallError) {
    try set(socket, Int32(IPPROTO_TCP), TCP_NODELAY, 1, "TCP_NODELAY", subject)
    // A burst of whole windows must fit while the other side folds; autotuning starts too low for that.
    try set(socket, SOL_SOCKET, SO_SNDBUFFORCE, bufferSize, "SO_SNDBUFFORCE", subject)
    try set(socket, SOL_SOCKET, SO_RCVBUFFORCE, bufferSize, "SO_RCVBUFFORCE", subject)
    // The host's default may be one that paces (bbr): then each held packet waits for a timer on a link that is free. Where
    // the kernel lacks cubic, the default stays.
    let control = Array("cubic".utf8)
    setsockopt(socket, Int32(IPPROTO_TCP), TCP_CONGESTION, control, socklen_t(control.count))
  }

  private static let bufferSize: Int32 = 16 << 20

  /// Starts to connect from `local`'s address (any port) to `peer`; writable, or failed, when done.
  public static func connect(to peer: Endpoint, from local: IPAddress) throws(SystemCallError) -> StreamSocket {
    let socket = try InternetSocket.make(.stream, for: peer.address)
    try prepare(socket.number, on: peer)
    try InternetSocket.bind(socket.number, to: Endpoint(address: local, port: 0))
    let failure: Errno? = SocketAddress.with(peer) { address, length in
      Glibc.connect(socket.number, address, length) == 0 ? nil : Errno(rawValue: errno)
    }
    if let failure, failure != .nowInProgress { throw SystemCallError("connect", on: "\(peer)", errno: failure) }
    return StreamSocket(socket, peer: peer)
  }

  public var descriptor: Int32 { socket.number }

  /// What became of a connect, once the socket is writable (SO_ERROR).
  public func finishConnect() throws(SystemCallError) {
    var code: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    try systemCall("getsockopt(SO_ERROR)", on: "\(peer)") {
      getsockopt(socket.number, SOL_SOCKET, SO_ERROR, &code, &length)
    }
    if code != 0 { throw SystemCallError("connect", on: "\(peer)", errno: Errno(rawValue: code)) }
  }

  public func read(into space: UnsafeMutableRawBufferPointer) throws(SystemCallError) -> Int? {
    try nonblockingCall("recv", on: "\(peer)") { recv(socket.number, space.baseAddress, space.count, 0) }
  }

  public func write(_ pieces: [UnsafeRawBufferPointer]) throws(SystemCallError) -> Int? {
    try nonblockingCall("sendmsg", on: "\(peer)") {
      withUnsafeTemporaryAllocation(of: iovec.self, capacity: pieces.count) { vectors in
        for (index, piece) in pieces.enumerated() {
          vectors[index] = iovec(iov_base: UnsafeMutableRawPointer(mutating: piece.baseAddress), iov_len: piece.count)
        }
        var message = msghdr()
        message.msg_iov = vectors.baseAddress
        message.msg_iovlen = pieces.count
        return sendmsg(socket.number, &message, Int32(MSG_NOSIGNAL))
      }
    }
  }

  private static func set(
    _ socket: Int32, _ level: Int32, _ name: Int32, _ value: Int32, _ label: String, _ subject: Endpoint
  ) throws(SystemCallError) {
    var value = value
    try systemCall("setsockopt(\(label))", on: "\(subject)") {
      setsockopt(socket, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }
  }
}
