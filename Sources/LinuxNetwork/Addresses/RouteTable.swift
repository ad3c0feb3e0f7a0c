internal import CLinux
internal import CNetlink
internal import Glibc
public import TCPModel

/// The neighbour to whom packets to an address go: the address's own host on the same network, or a router.
public struct NextHop: Hashable, Sendable {
  public let address: IPAddress
  /// The interface's index.
  public let interface: Int32
}

/// Asks the kernel how packets would go, and has it find neighbours before there are any (rtnetlink(7), through libnl).
public final class RouteTable {
  package struct Route {
    var isLocal: Bool
    var hop: NextHop?
  }

  /// For questions, whose only answer is what was asked for.
  private let questions: OpaquePointer
  let requests: OpaquePointer

  /// - Throws: `AddressError` when there is no netlink socket to be had.
  public init() throws(AddressError) {
    questions = try Self.connect()
    do throws(AddressError) {
      requests = try Self.connect()
    } catch {
      nl_socket_free(questions)
      throw error
    }
    nl_socket_disable_auto_ack(questions)
  }

  deinit {
    nl_socket_free(questions)
    nl_socket_free(requests)
  }

  static func connect() throws(AddressError) -> OpaquePointer {
    guard let socket = nl_socket_alloc() else { throw AddressError(description: "no memory for a netlink socket") }
    let status = nl_connect(socket, Int32(NETLINK_ROUTE))
    guard status == 0 else {
      nl_socket_free(socket)
      throw AddressError(description: "nl_connect: \(text(status))")
    }
    return socket
  }

  static func text(_ status: Int32) -> String { String(cString: nl_geterror(status)) }

  /// - Returns: nil when there is no route.
  public func nextHop(to address: IPAddress) -> NextHop? { route(to: address)?.hop }

  /// - Returns: the route that packets to `address` take, or nil when there is none.
  package func route(to address: IPAddress) -> Route? {
    ask(about: address, flags: 0, interface: nil) { Self.read($0, to: address) }
  }

  /// Whether the host reaches the address's network over an interface, without a router (RTM_F_FIB_MATCH: the answer is the entry
  /// in the table, and not what becomes of one packet).
  func hasRoute(toNetworkOf address: ServiceAddress, over interface: Int32) -> Bool {
    ask(about: address.address, flags: UInt32(RTM_F_FIB_MATCH), interface: interface) { answer -> Bool? in
      guard let (header, entry) = Self.entry(answer) else { return nil }
      let size = Int32(MemoryLayout<rtmsg>.size)
      let device = nlmsg_find_attr(header, size, Int32(RTA_OIF.rawValue))
      return entry.rtm_type == UInt8(RTN_UNICAST) && Int(entry.rtm_dst_len) == address.prefixLength
        && nlmsg_find_attr(header, size, Int32(RTA_GATEWAY.rawValue)) == nil
        && device.map { nla_get_u32($0) == UInt32(interface) } ?? false
    } ?? false
  }

  private func ask<Answer>(
    about address: IPAddress, flags: UInt32, interface: Int32?,
    _ body: (UnsafeMutableRawBufferPointer) -> Answer?
  ) -> Answer? {
    guard let message = nlmsg_alloc_simple(Int32(RTM_GETROUTE), 0) else { return nil }
    defer { nlmsg_free(message) }
    var header = rtmsg()
    header.rtm_family = UInt8(address.isIPv6 ? AF_INET6 : AF_INET)
    header.rtm_dst_len = address.isIPv6 ? 128 : 32
    header.rtm_flags = flags
    let bytes = address.bytes
    guard nlmsg_append(message, &header, MemoryLayout<rtmsg>.size, Int32(NLMSG_ALIGNTO)) == 0,
      nla_put(message, Int32(RTA_DST.rawValue), Int32(bytes.count), bytes) == 0,
      interface.map({ nla_put_u32(message, Int32(RTA_OIF.rawValue), UInt32($0)) }) ?? 0 == 0,
      nl_send_auto(questions, message) >= 0
    else { return nil }
    var source = sockaddr_nl()
    var answer: UnsafeMutablePointer<UInt8>?
    let count = nl_recv(questions, &source, &answer, nil)
    defer { free(answer) }
    guard let answer, count > 0 else { return nil }
    return body(UnsafeMutableRawBufferPointer(start: answer, count: Int(count)))
  }

  private static func entry(
    _ answer: UnsafeMutableRawBufferPointer
  ) -> (header: UnsafeMutablePointer<nlmsghdr>, entry: rtmsg)? {
    guard let base = answer.baseAddress, answer.count >= MemoryLayout<nlmsghdr>.size + MemoryLayout<rtmsg>.size else {
      return nil
    }
    let header = base.assumingMemoryBound(to: nlmsghdr.self)
    guard Int(header.pointee.nlmsg_len) <= answer.count, header.pointee.nlmsg_type == UInt16(RTM_NEWROUTE) else {
      return nil
    }
    return (header, base.load(fromByteOffset: MemoryLayout<nlmsghdr>.size, as: rtmsg.self))
  }

  private static func read(_ answer: UnsafeMutableRawBufferPointer, to address: IPAddress) -> Route? {
    guard let (header, entry) = entry(answer) else { return nil }
    let type = entry.rtm_type
    let size = Int32(MemoryLayout<rtmsg>.size)
    guard type == UInt8(RTN_UNICAST), let device = nlmsg_find_attr(header, size, Int32(RTA_OIF.rawValue)),
      nla_len(device) == 4
    else { return Route(isLocal: type == UInt8(RTN_LOCAL), hop: nil) }
    var neighbour = address
    if let gateway = nlmsg_find_attr(header, size, Int32(RTA_GATEWAY.rawValue)), let data = nla_data(gateway) {
      let bytes = UnsafeRawBufferPointer(start: data, count: Int(nla_len(gateway)))
      guard let router = IPAddress(bytes: bytes) else { return Route(isLocal: false, hop: nil) }
      neighbour = router
    }
    return Route(isLocal: false, hop: NextHop(address: neighbour, interface: Int32(nla_get_u32(device))))
  }
}
