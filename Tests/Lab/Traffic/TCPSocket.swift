internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import SystemCalls
internal import SystemPackage
public import TCPModel

/// A TCP socket of the tests: non-blocking, closed when the value ends.
///
/// It belongs to the namespace of the thread that makes it (`Namespace.run`), whichever thread uses it later.
public final class TCPSocket: Sendable {
  public let number: Int32

  /// Takes ownership of `number` and makes it non-blocking.
  public init(owning number: Int32) {
    self.number = number
    let flags = hf_fcntl_int(number, F_GETFL, 0)
    _ = hf_fcntl_int(number, F_SETFL, flags | O_NONBLOCK)
  }

  deinit { Glibc.close(number) }

  private static func make(_ family: Int32) throws -> TCPSocket {
    TCPSocket(
      owning: try systemCall("socket") {
        Glibc.socket(
          family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue),
          Int32(IPPROTO_TCP))
      })
  }

  /// A listening socket. One on an IPv6 address takes IPv6 alone, so that both families can have theirs on one port, unless it
  /// is `dualStack`.
  public static func listen(on endpoint: Endpoint, backlog: Int32 = 4096, dualStack: Bool = false) throws -> TCPSocket {
    let socket = try make(endpoint.family)
    try socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
    if endpoint.address.isIPv6 { try socket.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, dualStack ? 0 : 1) }
    try systemCall("bind", on: "\(endpoint)") { SocketAddress.bind(socket.number, to: endpoint) }
    try systemCall("listen", on: "\(endpoint)") { Glibc.listen(socket.number, backlog) }
    return socket
  }

  /// Starts to connect: the socket becomes writable when it is connected, or has failed to (`takeError`).
  /// - Parameter maximumSegment: TCP_MAXSEG, which the peer is told as well.
  public static func connect(
    to endpoint: Endpoint, maximumSegment: Int32? = nil, receiveBuffer: Int32? = nil, from local: Endpoint? = nil
  ) throws -> TCPSocket {
    let socket = try make(endpoint.family)
    if let local { try systemCall("bind", on: "\(local)") { SocketAddress.bind(socket.number, to: local) } }
    if let maximumSegment { try socket.set(Int32(IPPROTO_TCP), TCP_MAXSEG, maximumSegment) }
    if let receiveBuffer { try socket.set(SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
    try socket.set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    let result = SocketAddress.connect(socket.number, to: endpoint)
    guard result == 0 || errno == EINPROGRESS else {
      throw SystemCallError("connect", on: "\(endpoint)", errno: Errno(rawValue: errno))
    }
    return socket
  }

  /// A connection that waits to be accepted; `nil` when there is none.
  public func accept() throws -> TCPSocket? {
    guard let number = try nonblockingCall("accept4", { hf_accept(number) }) else { return nil }
    return TCPSocket(owning: number)
  }

  /// Bytes read, 0 at the end of the stream, `nil` when there is nothing yet.
  public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int? {
    try nonblockingCall("recv") { Glibc.recv(number, buffer.baseAddress, buffer.count, 0) }
  }

  /// Bytes taken by the kernel, `nil` when it has no room.
  public func write(_ buffer: UnsafeRawBufferPointer) throws -> Int? {
    try nonblockingCall("send") { Glibc.send(number, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL)) }
  }

  /// Ends the outgoing half of the stream: the peer reads to its end.
  public func finishWriting() throws {
    try systemCall("shutdown") { Glibc.shutdown(number, Int32(SHUT_WR)) }
  }

  /// The pending error (SO_ERROR), 0 for none.
  public func takeError() throws -> Int32 { try get(SOL_SOCKET, SO_ERROR) }

  public func set(_ level: Int32, _ option: Int32, _ value: Int32) throws {
    var value = value
    try systemCall("setsockopt(\(level), \(option))") {
      setsockopt(number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
  }

  public func get(_ level: Int32, _ option: Int32) throws -> Int32 {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try systemCall("getsockopt(\(level), \(option))") { getsockopt(number, level, option, &value, &size) }
    return value
  }

  public func setTCP(_ option: Int32, _ value: Int32) throws { try set(Int32(IPPROTO_TCP), option, value) }
  public func getTCP(_ option: Int32) throws -> Int32 { try get(Int32(IPPROTO_TCP), option) }

  /// SO_MARK, all 32 bits of it.
  public func setMark(_ mark: UInt32) throws { try set(SOL_SOCKET, SO_MARK, Int32(bitPattern: mark)) }

  /// Has the end of the value reset the connection (SO_LINGER with no time).
  public func closeAbruptly() throws {
    var value = linger(l_onoff: 1, l_linger: 0)
    try systemCall("setsockopt(SO_LINGER)") {
      setsockopt(number, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }
  }

  /// TCP_CONGESTION: `cubic`, `bbr`.
  public func setCongestionControl(_ name: String) throws {
    let bytes = Array(name.utf8)
    try systemCall("setsockopt(TCP_CONGESTION)", on: name) {
      setsockopt(number, Int32(IPPROTO_TCP), TCP_CONGESTION, bytes, socklen_t(bytes.count))
    }
  }

  public var localEndpoint: Endpoint? { (try? SocketAddress.local(of: number)) ?? nil }
  public var peerEndpoint: Endpoint? { (try? SocketAddress.peer(of: number)) ?? nil }

  /// What the socket's next TSval would be.
  public func timestamp() throws -> UInt32 { UInt32(bitPattern: try getTCP(Int32(HF_TCP_TIMESTAMP))) }

  /// Shifts the clock of the socket's TCP timestamps so that the next one is `value` (TCP_TIMESTAMP in repair mode). For a
  /// connection that carries nothing at the moment.
  public func setTimestamp(_ value: UInt32) throws {
    try setTCP(Int32(HF_TCP_REPAIR), Int32(HF_TCP_REPAIR_ON))
    defer {
      try? setTCP(Int32(HF_TCP_REPAIR), -1)
      // Leaving repair clears it.
      try? set(SOL_SOCKET, SO_REUSEADDR, 1)
    }
    try setTCP(Int32(HF_TCP_TIMESTAMP), Int32(bitPattern: value))
  }
}
