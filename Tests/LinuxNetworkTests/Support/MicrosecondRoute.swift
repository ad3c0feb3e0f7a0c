import CLinux
import Glibc
import LinuxNetwork
import SystemCalls
import SystemPackage
import TCPModel

/// A route to one IPv4 address whose connections count TCP timestamps in microseconds: RTAX_FEATURES with
/// RTAX_FEATURE_TCP_USEC_TS (Linux 6.7). `ip route … features tcp_usec_ts` needs an iproute2 that is newer than Debian 12's.
enum MicrosecondRoute {
  /// RTM_NEWROUTE, RTM_DELROUTE
  private static let (newRoute, deleteRoute): (UInt16, UInt16) = (24, 25)

  static func add(to address: IPAddress, over interface: String) throws {
    // RTA_METRICS with RTAX_FEATURES (12): 1 << 4.
    try request(
      newRoute, flags: UInt16(NLM_F_CREATE | NLM_F_EXCL), address, interface,
      metrics: [8, 0, 12, 0, 16, 0, 0, 0])
  }

  static func remove(to address: IPAddress, over interface: String) throws {
    try request(deleteRoute, flags: 0, address, interface, metrics: [])
  }

  private static func request(
    _ type: UInt16, flags: UInt16, _ address: IPAddress, _ interface: String, metrics: [UInt8]
  ) throws {
    // struct rtmsg: family, dst_len, src_len, tos, table (main), protocol (static), scope (link), type (unicast), flags.
    var body: [UInt8] = [UInt8(AF_INET), 32, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0]
    body += [8, 0, 1, 0] + address.bytes
    body += [8, 0, 4, 0] + withUnsafeBytes(of: if_nametoindex(interface)) { [UInt8]($0) }
    if !metrics.isEmpty { body += [UInt8(4 + metrics.count), 0, 8, 0] + metrics }
    var message = withUnsafeBytes(of: UInt32(16 + body.count)) { [UInt8]($0) }
    message += withUnsafeBytes(of: type) { [UInt8]($0) }
    message += withUnsafeBytes(of: UInt16(NLM_F_REQUEST | NLM_F_ACK) | flags) { [UInt8]($0) }
    message += [UInt8](repeating: 0, count: 8) + body
    let netlink = Descriptor(
      owning: try systemCall("socket(NETLINK_ROUTE)") { socket(AF_NETLINK, Int32(SOCK_RAW.rawValue), NETLINK_ROUTE) })
    try systemCall("send") { send(netlink.number, message, message.count, 0) }
    var answer = [UInt8](repeating: 0, count: 4096)
    try systemCall("recv") { recv(netlink.number, &answer, answer.count, 0) }
    let code = answer.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 16, as: Int32.self) }
    if code != 0 { throw SystemCallError("rtnetlink", on: interface, errno: Errno(rawValue: -code)) }
  }
}
