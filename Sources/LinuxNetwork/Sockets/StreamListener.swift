internal import CLinux
internal import Glibc
public import SystemCalls
internal import SystemPackage
public import TCPModel

/// A listening TCP socket of the daemon's own, non-blocking.
public final class StreamListener {
  private let socket: Descriptor
  private let local: Endpoint

  /// - Parameter local: may be an address that this host has not got yet: an interface may come up after the daemon.
  public init(on local: Endpoint) throws(SystemCallError) {
    self.local = local
    socket = try InternetSocket.make(.stream, for: local.address)
    var one: Int32 = 1
    try systemCall("setsockopt(SO_REUSEADDR)", on: "\(local)") {
      setsockopt(socket.number, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    }
    try StreamSocket.prepare(socket.number, on: local)
    try InternetSocket.bind(socket.number, to: local, isThere: false)
    try systemCall("listen", on: "\(local)") { listen(socket.number, 64) }
  }

  public var descriptor: Int32 { socket.number }

  /// - Returns: the next connection that waits, nil when none does.
  public func accept() throws(SystemCallError) -> StreamSocket? {
    guard let number = try nonblockingCall("accept4", on: "\(local)", { hf_accept(socket.number) }) else { return nil }
    let accepted = Descriptor(owning: number)
    guard let peer = try SocketAddress.peer(of: accepted.number) else { return nil }
    return StreamSocket(accepted, peer: peer)
  }
}
