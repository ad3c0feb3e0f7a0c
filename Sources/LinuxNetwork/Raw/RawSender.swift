internal import CLinux
internal import Glibc
public import SystemCalls
public import TCPModel

/// Sends IP packets as they were built (raw(7), IP_HDRINCL): probes and resets to peers, and a peer's own segments to a socket
/// here that is being restored. The latter leave through the loopback interface, which the packet table excepts.
public final class RawSender {
  private let v4: Descriptor
  private let v6: Descriptor

  /// Needs CAP_NET_RAW.
  public init() throws(SystemCallError) {
    v4 = try Self.make(AF_INET, Int32(IPPROTO_IP), Int32(IP_HDRINCL))
    v6 = try Self.make(AF_INET6, Int32(IPPROTO_IPV6), Int32(HF_IPV6_HDRINCL))
  }

  private static func make(_ family: Int32, _ level: Int32, _ headerIncluded: Int32) throws(SystemCallError)
    -> Descriptor
  {
    let socket = Descriptor(
      owning: try systemCall("socket(SOCK_RAW)") {
        Glibc.socket(
          family, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), Int32(IPPROTO_RAW))
      })
    var on: Int32 = 1
    let number = socket.number
    try systemCall("setsockopt(HDRINCL)") {
      setsockopt(number, level, headerIncluded, &on, socklen_t(MemoryLayout<Int32>.size))
    }
    return socket
  }

  /// - Throws: `SystemCallError` when there is no way to the destination, or the packet was dropped on the way out.
  public func send(_ packet: IPPacket) throws(SystemCallError) {
    let number = packet.destination.isIPv6 ? v6.number : v4.number
    // The header has the protocol, so the address's port must be 0.
    let destination = Endpoint(address: packet.destination, port: 0)
    try systemCall("sendto", on: "\(packet.destination)") {
      packet.bytes.withUnsafeBytes { bytes in
        SocketAddress.with(destination) { sendto(number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL), $0, $1) }
      }
    }
  }
}
