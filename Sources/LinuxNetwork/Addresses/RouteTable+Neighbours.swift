internal import CNetlink
internal import Glibc
internal import TCPModel

extension RouteTable {
  /// Has the kernel find out the neighbour's link-layer address, or see whether the one that it knows still holds, as if a
  /// packet had been sent to it (NTF_USE; neigh_add in the kernel's net/core/neighbour.c). Returns at once; what comes of it is
  /// the kernel's affair.
  public func prepare(_ hop: NextHop) throws(AddressError) {
    let status = try Self.withRequest(about: hop) { request in
      rtnl_neigh_set_flags(request, UInt32(NTF_USE))
      return rtnl_neigh_add(requests, request, Int32(NLM_F_CREATE | NLM_F_REPLACE))
    }
    guard status == 0 else {
      throw AddressError(description: "cannot look for the neighbour \(hop.address): \(Self.text(status))")
    }
  }

  /// The neighbours whose link-layer address the kernel is looking for (NUD_INCOMPLETE). Packets to them wait, for up to three
  /// seconds (net.ipv4.neigh.*.mcast_solicit, retrans_time_ms), and leave when the neighbour answers.
  public func neighboursLookedFor() throws(AddressError) -> Set<NextHop> {
    var cache: OpaquePointer?
    let status = rtnl_neigh_alloc_cache(requests, &cache)
    guard status == 0, let cache else {
      throw AddressError(description: "cannot list the neighbours: \(Self.text(status))")
    }
    defer { nl_cache_free(cache) }
    var found: Set<NextHop> = []
    var next = nl_cache_get_first(cache)
    while let neighbour = next {
      next = nl_cache_get_next(neighbour)
      guard rtnl_neigh_get_state(neighbour) == Int32(NUD_INCOMPLETE), let binary = rtnl_neigh_get_dst(neighbour),
        let bytes = nl_addr_get_binary_addr(binary),
        let address = IPAddress(bytes: UnsafeRawBufferPointer(start: bytes, count: Int(nl_addr_get_len(binary))))
      else { continue }
      found.insert(NextHop(address: address, interface: rtnl_neigh_get_ifindex(neighbour)))
    }
    return found
  }

  /// Has the kernel forget a neighbour, and with it the packets that wait for its link-layer address (neigh_invalidate). It is no
  /// error when there is none.
  public func forget(_ hop: NextHop) throws(AddressError) {
    let status = try Self.withRequest(about: hop) { rtnl_neigh_delete(requests, $0, 0) }
    guard status == 0 || status == -NLE_OBJ_NOTFOUND else {
      throw AddressError(description: "cannot forget the neighbour \(hop.address): \(Self.text(status))")
    }
  }

  private static func withRequest(
    about hop: NextHop, _ body: (OpaquePointer) -> Int32
  ) throws(AddressError) -> Int32 {
    let bytes = hop.address.bytes
    guard let request = rtnl_neigh_alloc() else { throw AddressError(description: "no memory for a netlink request") }
    defer { rtnl_neigh_put(request) }
    guard let address = nl_addr_build(hop.address.isIPv6 ? AF_INET6 : AF_INET, bytes, bytes.count) else {
      throw AddressError(description: "no memory for a netlink request")
    }
    defer { nl_addr_put(address) }
    rtnl_neigh_set_ifindex(request, hop.interface)
    rtnl_neigh_set_dst(request, address)
    return body(request)
  }
}
