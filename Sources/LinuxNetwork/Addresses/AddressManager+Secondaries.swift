internal import CLinux
internal import CNetlink
internal import TCPModel

/// An IPv4 address that is the first of its network on an interface takes the later ones along when it goes, unless the kernel is
/// told to put the next one in its place (promote_secondaries in the kernel's ip-sysctl.rst, __inet_del_ifa in net/ipv4/devinet.c).
extension AddressManager {
  /// net.ipv4.conf.*.promote_secondaries: IPV4_DEVCONF_PROMOTE_SECONDARIES of linux/ip.h, which cannot be included beside
  /// netinet/ip.h.
  private static let promoteSecondaries: UInt32 = 20

  /// Has the kernel keep the addresses that came behind this one on its interface during `body`, which is done in any case.
  ///
  /// The interface's setting is changed for that moment, if it has to be: over netlink (IFLA_INET_CONF), because a daemon whose
  /// service manager protects /proc/sys cannot write there.
  /// - Parameter state: nil when it is not known: then nothing is done for the others.
  func whileOthersStay(
    _ address: ServiceAddress, _ state: InterfaceState?, _ body: () throws(AddressError) -> Void
  ) throws(AddressError) {
    guard let state, !address.address.isIPv6, let own = state.assigned(address),
      own.prefixLength == address.prefixLength, !own.isSecondary,
      state.addresses.contains(where: { $0 != own && $0.sharesNetwork(with: own) }),
      !promotes(state.index)
    else { return try body() }
    let change = Result { () throws(AddressError) in try setPromotion(1, of: state.index, address.interface) }
    let removal = Result { () throws(AddressError) in try body() }
    try change.get()
    // The setting is the operator's again.
    try setPromotion(0, of: state.index, address.interface)
    try removal.get()
  }

  private func promotes(_ interface: Int32) -> Bool {
    var link: OpaquePointer?
    guard rtnl_link_get_kernel(socket, interface, nil, &link) == 0, let link else { return false }
    defer { rtnl_link_put(link) }
    var setting: UInt32 = 0
    return rtnl_link_inet_get_conf(link, Self.promoteSecondaries, &setting) == 0 && setting != 0
  }

  private func setPromotion(_ value: UInt32, of interface: Int32, _ name: String) throws(AddressError) {
    guard let link = rtnl_link_alloc(), let change = rtnl_link_alloc() else {
      throw AddressError(description: "no memory for a netlink request")
    }
    defer {
      rtnl_link_put(link)
      rtnl_link_put(change)
    }
    rtnl_link_set_ifindex(link, interface)
    rtnl_link_set_ifindex(change, interface)
    var status = rtnl_link_inet_set_conf(change, Self.promoteSecondaries, value)
    if status == 0 { status = rtnl_link_change(socket, link, change, 0) }
    guard status == 0 else {
      throw AddressError(
        description: "cannot set promote_secondaries of \(name) to \(value): \(RouteTable.text(status))")
    }
  }
}
