internal import CLinux
internal import CNetlink
internal import Glibc
internal import TCPModel

/// Asks the kernel what an interface has: link and addresses (RTM_GETLINK, RTM_GETADDR; rtnetlink(7)).
final class InterfaceTable {
  /// For dumps, which end with a message of their own and not with an acknowledgement.
  private let dumps: OpaquePointer
  private let links: OpaquePointer

  init() throws(AddressError) {
    dumps = try RouteTable.connect()
    do throws(AddressError) {
      links = try RouteTable.connect()
    } catch {
      nl_socket_free(dumps)
      throw error
    }
    nl_socket_disable_auto_ack(dumps)
    // The kernel then honours the interface in the question. One before 4.20 does not know this, and tells of all interfaces.
    var on: Int32 = 1
    _ = setsockopt(
      nl_socket_get_fd(dumps), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, socklen_t(MemoryLayout<Int32>.size))
  }

  deinit {
    nl_socket_free(dumps)
    nl_socket_free(links)
  }

  /// - Returns: nil when there is no such interface.
  func state(of name: String) throws(AddressError) -> InterfaceState? {
    let index = Int32(if_nametoindex(name))
    guard index != 0 else { return nil }
    var link: OpaquePointer?
    let status = rtnl_link_get_kernel(links, index, nil, &link)
    if status == -NLE_OBJ_NOTFOUND || status == -NLE_NODEV { return nil }
    guard status == 0, let link else {
      throw AddressError(description: "cannot look at \(name): \(RouteTable.text(status))")
    }
    defer { rtnl_link_put(link) }
    let flags = rtnl_link_get_flags(link)
    var changes: UInt32 = 0
    _ = rtnl_link_get_carrier_changes(link, &changes)
    return InterfaceState(
      index: index, isUp: flags & UInt32(IFF_UP) != 0, hasCarrier: flags & Self.lowerUp != 0,
      carrierChanges: changes, addresses: try addresses(of: index, name))
  }

  /// IFF_LOWER_UP of linux/if.h, which cannot be included beside net/if.h.
  private static let lowerUp: UInt32 = 1 << 16

  private func addresses(of index: Int32, _ name: String) throws(AddressError) -> [AssignedAddress] {
    // The kernel says so when the list changed while it was written: what came may be neither what was nor what is.
    for _ in 0..<Self.attempts {
      if let addresses = try dump(index, name) { return addresses }
    }
    throw AddressError(description: "cannot look at the addresses of \(name): they do not stop changing")
  }
  private static let attempts = 8

  private func dump(_ index: Int32, _ name: String) throws(AddressError) -> [AssignedAddress]? {
    var question = ifaddrmsg()
    question.ifa_index = UInt32(index)
    var status = nl_send_simple(
      dumps, Int32(RTM_GETADDR), Int32(NLM_F_DUMP), &question, MemoryLayout<ifaddrmsg>.size)
    var found: [AssignedAddress] = []
    var isWhole = true
    while status >= 0 {
      var source = sockaddr_nl()
      var answer: UnsafeMutablePointer<UInt8>?
      status = nl_recv(dumps, &source, &answer, nil)
      defer { free(answer) }
      guard status > 0, let answer else { break }
      var rest = status
      var message: UnsafeMutablePointer<nlmsghdr>? = UnsafeMutableRawPointer(answer).assumingMemoryBound(
        to: nlmsghdr.self)
      while let header = message, nlmsg_ok(header, rest) != 0 {
        if header.pointee.nlmsg_flags & UInt16(NLM_F_DUMP_INTR) != 0 { isWhole = false }
        switch Int32(header.pointee.nlmsg_type) {
        case Int32(NLMSG_DONE): return isWhole ? found : nil
        // The interface went away between the two questions: it has no addresses.
        case Int32(NLMSG_ERROR): return []
        case Int32(RTM_NEWADDR): if let address = Self.read(header, of: index) { found.append(address) }
        default: break
        }
        message = nlmsg_next(header, &rest)
      }
    }
    throw AddressError(description: "cannot look at the addresses of \(name): \(RouteTable.text(status))")
  }

  private static func read(_ header: UnsafeMutablePointer<nlmsghdr>, of index: Int32) -> AssignedAddress? {
    let size = MemoryLayout<ifaddrmsg>.size
    guard Int(header.pointee.nlmsg_len) >= MemoryLayout<nlmsghdr>.size + size, let data = nlmsg_data(header) else {
      return nil
    }
    let message = data.loadUnaligned(as: ifaddrmsg.self)
    // With a peer at the other end of the link IFA_ADDRESS is the peer's.
    guard message.ifa_index == UInt32(index), [UInt8(AF_INET), UInt8(AF_INET6)].contains(message.ifa_family),
      let own = nlmsg_find_attr(header, Int32(size), Int32(IFA_LOCAL))
        ?? nlmsg_find_attr(header, Int32(size), Int32(IFA_ADDRESS)),
      let bytes = nla_data(own),
      let address = IPAddress(bytes: UnsafeRawBufferPointer(start: bytes, count: Int(nla_len(own))))
    else { return nil }
    var flags = UInt32(message.ifa_flags)
    if let wide = nlmsg_find_attr(header, Int32(size), Int32(IFA_FLAGS)), nla_len(wide) == 4 {
      flags = nla_get_u32(wide)
    }
    var lifetimes = ifa_cacheinfo(ifa_prefered: .max, ifa_valid: .max, cstamp: 0, tstamp: 0)
    if let attribute = nlmsg_find_attr(header, Int32(size), Int32(IFA_CACHEINFO)),
      Int(nla_len(attribute)) >= MemoryLayout<ifa_cacheinfo>.size, let data = nla_data(attribute)
    {
      lifetimes = data.loadUnaligned(as: ifa_cacheinfo.self)
    }
    return AssignedAddress(
      address: address, prefixLength: Int(message.ifa_prefixlen), flags: flags,
      preferredLifetime: lifetimes.ifa_prefered, validLifetime: lifetimes.ifa_valid)
  }
}
