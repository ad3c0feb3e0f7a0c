public import SystemCalls
public import TCPModel

/// Sockets at addresses that this host does not own any more: those of a daemon or an application that crashed, those that the
/// kernel is still closing, those that were never registered.
///
/// While one of them lives no other socket can have its two ends: the connection that it once was could not come back here.
public enum LeftoverSockets {
  /// Ends all TCP connections at the addresses (SOCK_DESTROY, sock_diag(7)); their applications see ECONNABORTED. The kernel's
  /// last reset for one whose flow is in the packet table goes to its queue, so the flow must still be there.
  /// - Throws: `SystemCallError`; EOPNOTSUPP from a kernel without CONFIG_INET_DIAG_DESTROY, which Debian's has.
  public static func end(at addresses: [IPAddress]) throws(SystemCallError) {
    guard !addresses.isEmpty else { return }
    let search = try SocketSearch()
    for address in addresses {
      for entry in try search.connections(at: address) { try search.destroy(entry) }
    }
  }

  /// The flows of all TCP connections at the addresses that are more than a memory (TIME_WAIT).
  public static func flows(at addresses: [IPAddress]) throws(SystemCallError) -> Set<Flow> {
    let search = try SocketSearch()
    var flows: Set<Flow> = []
    for address in addresses {
      for entry in try search.connections(at: address) where entry.state != .timeWait { flows.insert(entry.flow) }
    }
    return flows
  }
}
