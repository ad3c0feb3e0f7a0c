public import TCPModel

/// Sockets at addresses that this host does not own any more: those of a daemon or an application that crashed, those that the
/// kernel is still closing, those that were never registered.
///
/// While one of them lives no other socket can have its two ends: the connection that it once was could not come back here.
public enum LeftoverSockets {
  /// Ends all TCP connections at the addresses (SOCK_DESTROY, sock_diag(7)); their applications see ECONNABORTED. The kernel's
  /// last reset for each carries the socket's mark, so the packet rules must be in force before.
  ///
  /// A kernel without CONFIG_INET_DIAG_DESTROY leaves them alone; Debian's has it.
  /// - Throws: `CommandError` with what ss(8) said.
  public static func end(at addresses: [IPAddress]) throws {
    guard !addresses.isEmpty else { return }
    let filter = addresses.map { $0.isIPv6 ? "src [\($0)]" : "src \($0)" }.joined(separator: " or ")
    try Command.run(["ss", "--no-header", "--numeric", "--tcp", "--kill", "exclude", "listening", filter])
  }
}
