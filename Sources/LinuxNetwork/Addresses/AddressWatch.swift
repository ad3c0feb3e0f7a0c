internal import CLinux
internal import CNetlink
internal import Glibc

/// Tells that something has happened to interfaces or their addresses: the kernel's notifications, of which only the interface is
/// taken (RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR; rtnetlink(7)). What there is now, `AddressManager.state` says.
public final class AddressWatch {
  /// What has happened since the last look.
  public enum Change: Hashable, Sendable {
    /// To the interfaces with these numbers.
    case interfaces(Set<Int32>)
    /// Notifications were lost (ENOBUFS): it may have been anything.
    case anything
  }

  private let socket: OpaquePointer

  /// - Throws: `AddressError` when there is no netlink socket to be had.
  public init() throws(AddressError) {
    socket = try RouteTable.connect()
    // Nobody asked for them, so no answer fits a question.
    nl_socket_disable_seq_check(socket)
    var status = nl_socket_set_nonblocking(socket)
    for group in [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR] where status == 0 {
      status = nl_socket_add_membership(socket, Int32(group.rawValue))
    }
    guard status == 0 else {
      nl_socket_free(socket)
      throw AddressError(description: "cannot watch the addresses: \(RouteTable.text(status))")
    }
  }

  deinit { nl_socket_free(socket) }

  /// Becomes readable when something has happened. Owned by the watch.
  public var descriptor: Int32 { nl_socket_get_fd(socket) }

  /// Takes in what has been told, and never waits. A burst longer than `batch` datagrams is left to the next call.
  /// - Returns: nil when nothing has happened.
  public func read() -> Change? {
    var interfaces: Set<Int32> = []
    var buffer = [UInt8](repeating: 0, count: 32 << 10)
    let number = descriptor
    for _ in 0..<Self.batch {
      let count = recv(number, &buffer, buffer.count, Int32(MSG_DONTWAIT) | Int32(MSG_TRUNC))
      if count < 0 {
        if errno == EINTR { continue }
        // Anything else than "nothing there" is a loss, too: looking once too often does no harm.
        return errno == EAGAIN ? (interfaces.isEmpty ? nil : .interfaces(interfaces)) : .anything
      }
      guard count <= buffer.count else { return .anything }
      buffer.withUnsafeBytes { Self.read(UnsafeRawBufferPointer(rebasing: $0[..<count]), into: &interfaces) }
    }
    return interfaces.isEmpty ? nil : .interfaces(interfaces)
  }
  private static let batch = 64

  /// struct ifinfomsg and struct ifaddrmsg both have the interface's number in their second word.
  static func read(_ datagram: UnsafeRawBufferPointer, into interfaces: inout Set<Int32>) {
    let head = MemoryLayout<nlmsghdr>.size
    var rest = datagram
    while rest.count >= head {
      let header = rest.loadUnaligned(as: nlmsghdr.self)
      let length = Int(header.nlmsg_len)
      guard length >= head, length <= rest.count else { return }
      let kinds = [RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR]
      if kinds.contains(Int(header.nlmsg_type)), length >= head + 8 {
        interfaces.insert(rest.loadUnaligned(fromByteOffset: head + 4, as: Int32.self))
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[min(rest.count, (length + 3) & ~3)...])
    }
  }
}
