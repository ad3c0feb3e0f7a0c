internal import CLinux
internal import CNetlink
internal import Glibc
public import TCPModel

/// Why an interface did not take or give up an address.
public struct AddressError: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String
}

/// Puts service addresses on interfaces and takes them off (rtnetlink(7), through libnl), and leaves what else is there as it is.
public final class AddressManager {
  let socket: OpaquePointer
  private let routes: RouteTable
  private let interfaces: InterfaceTable

  /// - Throws: `AddressError` when there is no netlink socket to be had.
  public init() throws(AddressError) {
    routes = try RouteTable()
    interfaces = try InterfaceTable()
    socket = try RouteTable.connect()
  }

  deinit { nl_socket_free(socket) }

  /// Whether packets to the address are delivered on this host. For IPv6 that comes a moment after `add` has returned: the
  /// kernel makes the route in a work queue, and until then a neighbour's answer to this address is lost (Linux 6.18,
  /// addrconf_dad_work).
  public func isLocal(_ address: IPAddress) -> Bool { routes.route(to: address)?.isLocal ?? false }

  /// What an interface is and has now. Costs two questions to the kernel.
  /// - Returns: nil when there is no such interface.
  public func state(of interface: String) throws(AddressError) -> InterfaceState? {
    try interfaces.state(of: interface)
  }

  /// Adds the address; nothing changes when it is there as it would be added.
  ///
  /// IPv6 without duplicate address detection: the address must be usable at once, and a half-dead owner would make detection
  /// fail. With a preferred lifetime of 0: programs that do not bind to it never get it as their source (RFC 6724 section 5, rule
  /// 3), since their connections would die with the next move.
  /// - Throws: `AddressError`, also when the host has the IPv6 address with another prefix length: the kernel keeps one alone, and
  ///   it is not the daemon's to change.
  public func add(_ address: ServiceAddress) throws(AddressError) {
    guard address.address.isIPv6 else { return try addNow(address, flags: 0) }
    // That nobody knows what is there is no reason not to take the address.
    let state = try? interfaces.state(of: address.interface)
    let present = state?.assigned(address)
    if let present, present.prefixLength != address.prefixLength {
      throw AddressError(description: "cannot add \(address): the host has it as \(present)")
    }
    if let present, present.isUnusable { try removeNow(address) }
    if let present, present.isDeprecated, present.isPermanent, !present.isUnusable { return }
    try addNow(address, flags: IFA_F_NODAD | (keepsRouteOfOthers(address, state) ? IFA_F_NOPREFIXROUTE : 0))
  }

  /// Whether the kernel would take a route of the host's own for the service address's, and remove it together with that: one to
  /// the same network that belongs to no permanent address of the host (check_cleanup_prefix_route in net/ipv6/addrconf.c). IPv4
  /// routes bear the address as their source, so the kernel tells them apart.
  private func keepsRouteOfOthers(_ address: ServiceAddress, _ state: InterfaceState?) -> Bool {
    guard let state else { return false }
    if let present = state.assigned(address), present.prefixLength == address.prefixLength { return present.hasNoRoute }
    let network = address.address.network(address.prefixLength)
    let isShared = state.addresses.contains {
      $0.address.isIPv6 && $0.prefixLength == address.prefixLength
        && $0.address.network($0.prefixLength) == network && $0.isPermanent && !$0.hasNoRoute
    }
    return !isShared && routes.hasRoute(toNetworkOf: address, over: state.index)
  }

  /// Removes the address; nothing changes when it is not there. What goes is the address with this prefix length on this interface.
  ///
  /// An IPv4 address of the host's own that came behind it stays, with its routes, whatever promote_secondaries says.
  public func remove(_ address: ServiceAddress) throws(AddressError) {
    // An interface that is gone has taken its addresses along.
    guard if_nametoindex(address.interface) != 0 else { return }
    // Whatever goes wrong besides, the address goes: another host may be about to answer for it.
    let state = try? interfaces.state(of: address.interface)
    try whileOthersStay(address, state) { () throws(AddressError) in try removeNow(address) }
  }

  /// Makes an address of the host's own the first one of its network again, where a service address has come to be that: the host's
  /// own programs choose the first one as the source of their connections. Packets to the service address are delivered all the
  /// while.
  /// - Parameter services: all service addresses of this host; they do not mind which of them comes first.
  /// - Returns: whether anything was changed.
  @discardableResult
  public func yieldPlace(_ address: ServiceAddress, services: Set<IPAddress>) throws(AddressError) -> Bool {
    // One turn for each service address that stands before the host's own.
    for turn in 0...services.count {
      guard let state = try interfaces.state(of: address.interface),
        let first = state.addresses.first(where: {
          !$0.isSecondary && services.contains($0.address) && !$0.address.isIPv6
            && $0.prefixLength == address.prefixLength
            && $0.address.network($0.prefixLength) == address.address.network($0.prefixLength)
        }),
        state.addresses.contains(where: { $0.sharesNetwork(with: first) && !services.contains($0.address) })
      else { return turn > 0 }
      let service = ServiceAddress(
        address: first.address, prefixLength: first.prefixLength, interface: address.interface)
      // Of another network, so it is neither before nor behind any.
      let standIn = ServiceAddress(address: first.address, prefixLength: 32, interface: address.interface)
      guard service != standIn else { return turn > 0 }
      let isThere = state.addresses.contains { $0.address == standIn.address && $0.prefixLength == 32 }
      if !isThere { try addNow(standIn, flags: 0) }
      try remove(service)
      try addNow(service, flags: 0)
      if !isThere { try removeNow(standIn) }
    }
    return true
  }

  // MARK: The kernel

  private func addNow(_ address: ServiceAddress, flags: Int32) throws(AddressError) {
    try withRequest(address) { request throws(AddressError) in
      if flags != 0 { rtnl_addr_set_flags(request, UInt32(flags)) }
      if address.address.isIPv6 {
        rtnl_addr_set_preferred_lifetime(request, 0)
        rtnl_addr_set_valid_lifetime(request, .max)
      }
      let status = rtnl_addr_add(socket, request, Int32(NLM_F_CREATE | NLM_F_REPLACE))
      guard status == 0 || status == -NLE_EXIST else {
        throw AddressError(description: "cannot add \(address): \(RouteTable.text(status))")
      }
    }
  }

  private func removeNow(_ address: ServiceAddress) throws(AddressError) {
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
