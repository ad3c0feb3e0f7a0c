internal import CLinux
internal import Glibc
internal import SystemCalls
internal import SystemPackage
internal import TCPModel

/// What the daemon's own sockets (replication, heartbeats) have in common.
enum InternetSocket {
  enum Kind {
    case stream
    case datagram
  }

  /// A non-blocking, close-on-exec socket of the address's family.
  static func make(_ kind: Kind, for address: IPAddress) throws(SystemCallError) -> Descriptor {
    let family = address.isIPv6 ? AF_INET6 : AF_INET
    let type = kind == .stream ? SOCK_STREAM : SOCK_DGRAM
    return Descriptor(
      owning: try systemCall("socket", on: "\(address)") {
        socket(family, Int32(type.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
      })
  }

  /// - Parameter isThere: false for an address that this host may get later (IP_FREEBIND, which holds for IPv6 too).
  static func bind(_ number: Int32, to local: Endpoint, isThere: Bool = true) throws(SystemCallError) {
    if !isThere {
      var one: Int32 = 1
      try systemCall("setsockopt(IP_FREEBIND)", on: "\(local)") {
        setsockopt(number, Int32(IPPROTO_IP), IP_FREEBIND, &one, socklen_t(MemoryLayout<Int32>.size))
      }
    }
    try systemCall("bind", on: "\(local)") {
      SocketAddress.with(local) { address, length in Glibc.bind(number, address, length) }
    }
  }
}
