internal import CLinux
internal import CNetlink
internal import Glibc
public import TCPModel

/// Why an interface did not take or give up an address.
public struct AddressError: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String
}

/// Puts service addresses on interfaces and takes them off (rtnetlink(7), through libnl).
public final class AddressManager {
  private let socket: OpaquePointer
  /// For questions, whose only answer is what was asked for.
  private let lookup: OpaquePointer

  /// - Throws: `AddressError` when there is no netlink socket to be had.
  public init() throws(AddressError) {
    socket = try Self.connect()
    do throws(AddressError) {
      lookup = try Self.connect()
    } catch {
      nl_socket_free(socket)
      throw error
    }
    nl_socket_disable_auto_ack(lookup)
  }

  private static func connect() throws(AddressError) -> OpaquePointer {
    guard let socket = nl_socket_alloc() else { throw AddressError(description: "no memory for a netlink socket") }
    let status = nl_connect(socket, Int32(NETLINK_ROUTE))
    guard status == 0 else {
      nl_socket_free(socket)
      throw AddressError(description: "nl_connect: \(text(status))")
    }
    return socket
  }

  deinit {
    nl_socket_free(socket)
    nl_socket_free(lookup)
  }

  /// Whether packets to the address are delivered on this host. For IPv6 that comes a moment after `add` has returned: the
  /// kernel makes the route in a work queue, and until then a neighbour's answer to this address is lost (Linux 6.18,
  /// addrconf_dad_work).
  public func isLocal(_ address: IPAddress) -> Bool {
    guard let message = nlmsg_alloc_simple(Int32(RTM_GETROUTE), 0) else { return false }
    defer { nlmsg_free(message) }
    var header = rtmsg()
    header.rtm_family = UInt8(address.isIPv6 ? AF_INET6 : AF_INET)
    header.rtm_dst_len = address.isIPv6 ? 128 : 32
    let bytes = address.bytes
    guard nlmsg_append(message, &header, MemoryLayout<rtmsg>.size, Int32(NLMSG_ALIGNTO)) == 0,
      nla_put(message, Int32(RTA_DST.rawValue), Int32(bytes.count), bytes) == 0, nl_send_auto(lookup, message) >= 0
    else { return false }
    var source = sockaddr_nl()
    var answer: UnsafeMutablePointer<UInt8>?
    let count = nl_recv(lookup, &source, &answer, nil)
    defer { free(answer) }
    // struct nlmsghdr (16 bytes), then struct rtmsg, whose last byte but four is the type.
    guard let answer, count >= 28, answer[4] == UInt8(RTM_NEWROUTE) else { return false }
    return answer[16 + 7] == UInt8(RTN_LOCAL)
  }

  /// Adds the address; nothing changes when it is there. IPv6 without duplicate address detection: the address must be usable
  /// at once, and a half-dead owner would make detection fail.
  public func add(_ address: ServiceAddress) throws(AddressError) {
    try withRequest(address) { request throws(AddressError) in
      if address.address.isIPv6 { rtnl_addr_set_flags(request, UInt32(IFA_F_NODAD)) }
      let status = rtnl_addr_add(socket, request, Int32(NLM_F_CREATE | NLM_F_REPLACE))
      guard status == 0 || status == -NLE_EXIST else {
        throw AddressError(description: "cannot add \(address): \(Self.text(status))")
      }
    }
  }

  /// Removes the address; nothing changes when it is not there.
  public func remove(_ address: ServiceAddress) throws(AddressError) {
    try withRequest(address) { request throws(AddressError) in
      let status = rtnl_addr_delete(socket, request, 0)
      guard status == 0 || status == -NLE_NOADDR || status == -NLE_OBJ_NOTFOUND || status == -NLE_NODEV else {
        throw AddressError(description: "cannot remove \(address): \(Self.text(status))")
      }
    }
  }

  private func withRequest(
    _ address: ServiceAddress, _ body: (OpaquePointer) throws(AddressError) -> Void
  ) throws(AddressError) {
    let index = if_nametoindex(address.interface)
    guard index != 0 else { throw AddressError(description: "there is no interface \"\(address.interface)\"") }
    let bytes = address.address.bytes
    let family = address.address.isIPv6 ? AF_INET6 : AF_INET
    guard let request = rtnl_addr_alloc(), let local = nl_addr_build(family, bytes, bytes.count) else {
      throw AddressError(description: "no memory for a netlink request")
    }
    defer {
      nl_addr_put(local)
      rtnl_addr_put(request)
    }
    rtnl_addr_set_ifindex(request, Int32(index))
    rtnl_addr_set_local(request, local)
    rtnl_addr_set_prefixlen(request, Int32(address.prefixLength))
    try body(request)
  }

  private static func text(_ status: Int32) -> String { String(cString: nl_geterror(status)) }
}
