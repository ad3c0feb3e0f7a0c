internal import CLinux
public import SystemCalls

/// Has the kernel ask a live socket's peer where it is.
///
/// The answer brings up to date whatever packets were lost between the two, and carries the peer forward which waits for an
/// acknowledgement, without either's retransmission timer.
public enum LiveProbe {
  /// Sends one acknowledgement that is a byte old (tcp_send_window_probe); the socket must not be in repair mode. In states other
  /// than ESTABLISHED nothing is sent.
  public static func send(on socket: Int32) throws(SystemCallError) {
    // Setting the option clears SO_REUSEADDR.
    let reuseAddress = try SocketOption.reuseAddress.get(socket)
    try SocketOption.repair.set(socket, Int32(HF_TCP_REPAIR_OFF))
    try SocketOption.reuseAddress.set(socket, reuseAddress)
  }
}
