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
  private let routes: RouteTable

  /// - Throws: `AddressError` when there is no netlink socket to be had.
  public init() throws(AddressError) {
    routes = try RouteTable()
    socket = try RouteTable.connect()
  }

  deinit { nl_socket_free(socket) }

  /// Whether packets to the address are delivered on this host. For IPv6 that comes a moment after `add` has returned: the
  /// kernel makes the route in a work queue, and until then a neighbour's answer to this address is lost (Linux 6.18,
  /// addrconf_dad_work).
  public func isLocal(_ address: IPAddress) -> Bool { routes.route(to: address)?.isLocal ?? false }

  /// Adds the address; nothing changes when it is there. IPv6 without duplicate address detection: the address must be usable
  /// at once, and a half-dead owner would make detection fail.
  public func add(_ address: ServiceAddress) throws(AddressError) {
    try withRequest(address) { request throws(AddressError) in
      if address.address.isIPv6 { rtnl_addr_set_flags(request, UInt32(IFA_F_NODAD)) }
      let status = rtnl_addr_add(socket, request, Int32(NLM_F_CREATE | NLM_F_REPLACE))
      guard status == 0 || status == -NLE_EXIST else {
        throw AddressError(description: "cannot add \(address): \(RouteTable.text(status))")
      }
    }
  }

  /// Removes the address; nothing changes when it is not there.
  public func remove(_ address: ServiceAddress) throws(AddressError) {
    try withRequest(address) { request throws(AddressError) in
      let status = rtnl_addr_delete(socket, request, 0)
      guard status == 0 || status == -NLE_NOADDR || status == -NLE_OBJ_NOTFOUND || status == -NLE_NODEV else {
        throw AddressError(description: "cannot remove \(address): \(RouteTable.text(status))")
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
}
