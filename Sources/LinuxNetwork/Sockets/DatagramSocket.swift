internal import CLinux
internal import Glibc
public import SystemCalls
internal import SystemPackage
public import TCPModel

/// A non-blocking UDP socket between two fixed endpoints: datagrams from anybody else never reach it.
///
/// The host need not have the address, nor a way to the peer, from the beginning: until it has, nothing is sent and nothing received.
public final class DatagramSocket {
  private let socket: Descriptor
  public let local: Endpoint
  public let peer: Endpoint
  /// Datagrams come from the peer alone, and reach it.
  public private(set) var isConnected = false

  public init(local: Endpoint, peer: Endpoint) throws(SystemCallError) {
    self.local = local
    self.peer = peer
    socket = try InternetSocket.make(.datagram, for: local.address)
    try InternetSocket.bind(socket.number, to: local, isThere: false)
    do {
      try connect()
    } catch  where Self.mayPass(error.errno) {
      // Tried again with each datagram.
    }
  }

  /// Whether an interface that comes up, an address or a route would mend it: without one of them connect(2) finds no way, or none
  /// from that address (EINVAL).
  private static func mayPass(_ reason: Errno) -> Bool {
    [.networkUnreachable, .noRouteToHost, .networkDown, .addressNotAvailable, .invalidArgument].contains(reason)
  }

  private func connect() throws(SystemCallError) {
    try systemCall("connect", on: "\(peer)") {
      SocketAddress.with(peer) { address, length in Glibc.connect(socket.number, address, length) }
    }
    isConnected = true
  }

  public var descriptor: Int32 { socket.number }

  /// Sends one datagram. What stands in its way (no route, nobody listens) looks like silence to the peer, as it should.
  /// - Returns: whether the kernel took it.
  @discardableResult
  public func send(_ bytes: [UInt8]) -> Bool {
    if !isConnected {
      // What came from anybody until now.
      while receive() != nil {}
      guard (try? connect()) != nil else { return false }
    }
    return bytes.withUnsafeBytes {
      Glibc.send(socket.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
      >= 0
  }

  /// The next datagram that waits, cut at `limit` bytes; nil when none does. Errors that the network reported for an earlier
  /// datagram (connection refused) are skipped.
  public func receive(limit: Int = 2048) -> [UInt8]? {
    for _ in 0..<8 {
      var count = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, used in
        count = recv(socket.number, buffer.baseAddress, limit, Int32(MSG_DONTWAIT))
        used = max(count, 0)
      }
      if count >= 0 { return bytes }
      let reason = Errno(rawValue: errno)
      if reason == .wouldBlock { return nil }
    }
    return nil
  }
}
