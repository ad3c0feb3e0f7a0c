internal import CLinux
internal import Glibc
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
}
