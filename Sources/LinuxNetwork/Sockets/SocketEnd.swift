internal import CLinux
internal import Glibc
public import SystemCalls
internal import SystemPackage

/// The two ways in which a connected socket ends for its peer.
public enum SocketEnd {
  /// An orderly end: what was written is sent, then a FIN (shutdown(2)). Who else holds the socket can still read.
  public static func finish(_ socket: Int32) throws(SystemCallError) {
    try systemCall("shutdown(SHUT_WR)") { shutdown(socket, Int32(SHUT_WR)) }
  }

  /// A reset at once, whoever else holds the socket (connect(2) with AF_UNSPEC: tcp_disconnect).
  public static func reset(_ socket: Int32) throws(SystemCallError) {
    var address = sockaddr()
    address.sa_family = sa_family_t(AF_UNSPEC)
    try systemCall("connect(AF_UNSPEC)") { connect(socket, &address, socklen_t(MemoryLayout<sockaddr>.size)) }
  }

  /// What the kernel does at the last close of a connected socket (tcp_close), for one that others still hold.
  /// - Returns: whether the peer gets a reset, because input was not read or SO_LINGER asks for it; otherwise what was written is
  ///   sent, then a FIN, and data that comes is answered with a reset.
  public static func close(_ socket: Int32) throws(SystemCallError) -> Bool {
    var linger = Glibc.linger()
    var length = socklen_t(MemoryLayout<Glibc.linger>.size)
    try systemCall("getsockopt(SO_LINGER)") { getsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, &length) }
    if linger.l_onoff != 0 && linger.l_linger == 0 {
      try reset(socket)
      return true
    }
    if try SocketQueues.unread(socket) > 0 {
      try reset(socket)
      return true
    }
    try systemCall("shutdown(SHUT_RDWR)") { shutdown(socket, Int32(SHUT_RDWR)) }
    return false
  }
}
