internal import Glibc
internal import SystemCalls

/// A connection's bytes. The socket is non-blocking, because an adopted one is; waiting is poll(2)'s.
struct Channel: ~Copyable {
  private let socket: Descriptor

  /// Longest request header, bytes.
  static let headerLimit = 16 << 10
  /// How long a client may stay silent between requests, ms.
  private static let idleLimit: Int32 = 300_000

  /// The request cannot be answered as far as it was promised, or its client is gone.
  struct Broken: Error {
    let reason: String
  }

  init(_ socket: consuming Descriptor) throws(SystemCallError) {
    try UnixSocket.setNonblocking(socket.number)
    self.socket = socket
    // The end of an answer must not wait for an acknowledgement.
    set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
  }

  var number: Int32 { socket.number }

  /// Waits until a whole request header is there, and leaves it there: a connection is registered with its input unread, and
  /// with what the request says.
  /// - Returns: the header, or as much as fits when it is too long; nil when the client has ended, or is silent for too long.
  func peekHeader() throws(Broken) -> [UInt8]? {
    var known = 0
    defer { if known > 0 { set(SOL_SOCKET, SO_RCVLOWAT, 1) } }
    while true {
      guard try wait(POLLIN, Self.idleLimit) else { return nil }
      let bytes = peek()
      if let length = Request.headerLength(bytes[...]) { return Array(bytes[..<length]) }
      if bytes.count == Self.headerLimit { return bytes }
      // Readable, and no more than before: no more will come.
      guard bytes.count > known else { return nil }
      known = bytes.count
      // Part of a header is there already; do not wake up for the same part again.
      set(SOL_SOCKET, SO_RCVLOWAT, Int32(known + 1))
    }
  }

  private func peek() -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Self.headerLimit) { buffer, count in
      count = max(0, recv(socket.number, buffer.baseAddress, Self.headerLimit, Int32(MSG_PEEK | MSG_DONTWAIT)))
    }
  }

  /// Reads `count` bytes and forgets them.
  func discard(_ count: Int) throws(Broken) {
    var rest = count
    var space = [UInt8](repeating: 0, count: 4096)
    while rest > 0 {
      let count = recv(socket.number, &space, min(rest, space.count), Int32(MSG_DONTWAIT))
      if count > 0 {
        rest -= count
      } else if count == 0 {
        throw Broken(reason: "the client ended within a request")
      } else {
        try retry("recv", POLLIN)
      }
    }
  }

  /// - Parameter more: what follows comes at once, so a part of a segment need not go alone.
  func send(_ bytes: ArraySlice<UInt8>, more: Bool) throws(Broken) {
    var rest = bytes
    while !rest.isEmpty {
      let flags = Int32(MSG_NOSIGNAL | MSG_DONTWAIT) | (more ? Int32(MSG_MORE) : 0)
      let count = rest.withUnsafeBytes { Glibc.send(socket.number, $0.baseAddress, $0.count, flags) }
      if count >= 0 { rest = rest.dropFirst(count) } else { try retry("send", POLLOUT) }
    }
  }

  /// Sends a part of a file.
  func send(_ range: Range<Int>, of file: Int32) throws(Broken) {
    var offset = off_t(range.lowerBound)
    while offset < range.upperBound {
      let count = sendfile(socket.number, file, &offset, min(range.upperBound - Int(offset), 1 << 20))
      if count == 0 { throw Broken(reason: "the file became shorter while it was sent") }
      if count < 0 { try retry("sendfile", POLLOUT) }
    }
  }

  /// Ends the output, and waits until the client has ended its own, so that nothing of the answer is lost to a reset.
  func finish() {
    shutdown(socket.number, Int32(SHUT_WR))
    var space = [UInt8](repeating: 0, count: 4096)
    while (try? wait(POLLIN, 5000)) ?? false, recv(socket.number, &space, space.count, Int32(MSG_DONTWAIT)) > 0 {}
  }

  private func retry(_ call: String, _ event: Int32) throws(Broken) {
    switch errno {
    case EINTR: return
    case EAGAIN: _ = try wait(event, -1)
    default: throw Broken(reason: "\(lastError(call))")
    }
  }

  /// - Returns: whether something happened in time.
  private func wait(_ event: Int32, _ milliseconds: Int32) throws(Broken) -> Bool {
    var entry = pollfd(fd: socket.number, events: Int16(event), revents: 0)
    while true {
      let count = poll(&entry, 1, milliseconds)
      if count >= 0 { return count > 0 }
      if errno != EINTR { throw Broken(reason: "\(lastError("poll"))") }
    }
  }

  private func set(_ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    _ = setsockopt(socket.number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }
}
