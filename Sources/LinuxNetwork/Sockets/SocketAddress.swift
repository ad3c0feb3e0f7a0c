internal import CLinux
internal import Glibc
package import SystemCalls
internal import SystemPackage
public import TCPModel

/// Between `Endpoint` and the kernel's socket addresses.
package enum SocketAddress {
  /// Calls `body` with `endpoint` as the kernel wants it.
  /// - Parameter mapped: an IPv4 endpoint as `::ffff:a.b.c.d`, for AF_INET6 sockets that talk IPv4.
  static func with<Result>(
    _ endpoint: Endpoint, mapped: Bool = false, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    if endpoint.address.isIPv6 || mapped {
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = endpoint.port.bigEndian
      let bytes =
        endpoint.address.isIPv6
        ? endpoint.address.bytes : [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + endpoint.address.bytes
      withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
      return call(&address, body)
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = endpoint.port.bigEndian
    withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: endpoint.address.bytes) }
    return call(&address, body)
  }

  private static func call<Address, Result>(
    _ address: inout Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<Address>.size)) }
    }
  }

  /// The endpoint in a socket address; nil for another family than IPv4 and IPv6. Not unmapped.
  static func endpoint(_ storage: inout sockaddr_storage) -> Endpoint? {
    let family = Int32(storage.ss_family)
    return withUnsafeBytes(of: &storage) { bytes in
      let port = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
      switch family {
      case AF_INET: return IPAddress(bytes: bytes[4..<8]).map { Endpoint(address: $0, port: port) }
      case AF_INET6: return IPAddress(bytes: bytes[8..<24]).map { Endpoint(address: $0, port: port) }
      default: return nil
      }
    }
  }

  /// bind(2); -1 with `errno` on failure.
  package static func bind(_ socket: Int32, to endpoint: Endpoint) -> Int32 {
    with(endpoint) { Glibc.bind(socket, $0, $1) }
  }

  /// connect(2); -1 with `errno` on failure.
  package static func connect(_ socket: Int32, to endpoint: Endpoint) -> Int32 {
    with(endpoint) { Glibc.connect(socket, $0, $1) }
  }

  package static func local(of socket: Int32) throws(SystemCallError) -> Endpoint? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    try systemCall("getsockname") {
      withUnsafeMutablePointer(to: &storage) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
      }
    }
    return endpoint(&storage)
  }

  package static func peer(of socket: Int32) throws(SystemCallError) -> Endpoint? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    try systemCall("getpeername") {
      withUnsafeMutablePointer(to: &storage) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(socket, $0, &length) }
      }
    }
    return endpoint(&storage)
  }
}

extension IPAddress {
  /// Reads `10.77.0.100` or `fd77::100` (inet_pton(3)); nil for anything else.
  public init?(_ text: String) {
    var v4 = in_addr()
    if inet_pton(AF_INET, text, &v4) == 1 {
      self.init(v4: UInt32(bigEndian: v4.s_addr))
      return
    }
    var v6 = in6_addr()
    guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
    self.init(bytes: withUnsafeBytes(of: &v6) { [UInt8]($0) })
  }
}
