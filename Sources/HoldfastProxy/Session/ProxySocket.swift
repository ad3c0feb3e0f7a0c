internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import SystemCalls
internal import SystemPackage
internal import TCPModel

/// Sockets as the proxy makes them. SwiftNIO gives no descriptor away, and registration needs one, so the proxy accepts and
/// connects by itself and hands NIO what is registered.
enum ProxySocket {
  /// A listening socket; the address need not be on this host yet (IP_FREEBIND, which holds for IPv6 too).
  static func listen(on endpoint: Endpoint) throws(SystemCallError) -> Descriptor {
    let descriptor = try make(for: endpoint.address)
    let number = descriptor.number
    try set(number, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
    try set(number, Int32(IPPROTO_IP), IP_FREEBIND, 1, "IP_FREEBIND")
    try systemCall("bind", on: "\(endpoint)") { SocketAddress.bind(number, to: endpoint) }
    try systemCall("listen", on: "\(endpoint)") { Glibc.listen(number, 4096) }
    return descriptor
  }

  /// Connects to a server; waits for it.
  /// - Parameter timeout: ns.
  static func connect(
    to server: Endpoint, from source: IPAddress, timeout: UInt64
  ) throws(SystemCallError) -> Descriptor {
    let descriptor = try make(for: server.address)
    let number = descriptor.number
    // Without it the kernel chooses a port before it knows the other end, and a source address has but one of each.
    try set(number, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT")
    // connect(2) waits no longer than this; longer waits of NIO's non-blocking calls do not exist.
    var limit = timeval(
      tv_sec: Int(timeout / 1_000_000_000),
      tv_usec: Int(max(timeout % 1_000_000_000 / 1000, timeout < 1_000_000_000 ? 1 : 0)))
    try systemCall("setsockopt(SO_SNDTIMEO)", on: "\(server)") {
      setsockopt(number, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }
    try systemCall("bind", on: "\(source)") { SocketAddress.bind(number, to: Endpoint(address: source, port: 0)) }
    try systemCall("connect", on: "\(server)") { SocketAddress.connect(number, to: server) }
    try prepare(number)
    return descriptor
  }

  /// The next client; nil when none waits.
  static func accept(_ listener: Int32, on endpoint: Endpoint) throws(SystemCallError) -> Descriptor? {
    guard let number = try nonblockingCall("accept4", on: "\(endpoint)", { hf_accept(listener) }) else { return nil }
    let descriptor = Descriptor(owning: number)
    try prepare(number)
    return descriptor
  }

  /// What is small must not wait here for more; and a peer that is gone without a word is noticed one day.
  private static func prepare(_ number: Int32) throws(SystemCallError) {
    try set(number, Int32(IPPROTO_TCP), TCP_NODELAY, 1, "TCP_NODELAY")
    try set(number, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE")
  }

  /// Blocking, so that connect(2) waits.
  private static func make(for address: IPAddress) throws(SystemCallError) -> Descriptor {
    let family = address.isIPv6 ? AF_INET6 : AF_INET
    let descriptor = Descriptor(
      owning: try systemCall("socket", on: "\(address)") {
        socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), Int32(IPPROTO_TCP))
      })
    if address.isIPv6 { try set(descriptor.number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1, "IPV6_V6ONLY") }
    return descriptor
  }

  private static func set(
    _ number: Int32, _ level: Int32, _ option: Int32, _ value: Int32, _ name: String
  ) throws(SystemCallError) {
    var value = value
    try systemCall("setsockopt(\(name))") {
      setsockopt(number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
  }
}
