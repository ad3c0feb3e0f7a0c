internal import TCPModel

/// What a server is told of its client: the PROXY protocol's header, version 1 or 2 (haproxy's doc/proxy-protocol.txt, 2.1 and
/// 2.2). A function of the two ends alone, so that the other host can make it again.
enum ProxyHeader {
  static func bytes(_ kind: ProxyConfiguration.HeaderKind, client: Endpoint, service: Endpoint) -> [UInt8] {
    switch kind {
    case .none: []
    case .v1: version1(client, service)
    case .v2: version2(client, service)
    }
  }

  private static func version1(_ client: Endpoint, _ service: Endpoint) -> [UInt8] {
    let family = client.address.isIPv6 ? "TCP6" : "TCP4"
    let line = "PROXY \(family) \(client.address) \(service.address) \(client.port) \(service.port)\r\n"
    return Array(line.utf8)
  }

  private static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

  private static func version2(_ client: Endpoint, _ service: Endpoint) -> [UInt8] {
    func word(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 0xff)] }
    let ends = client.address.bytes + service.address.bytes + word(client.port) + word(service.port)
    // Version 2, command PROXY; TCP over IPv4 or IPv6.
    return signature + [0x21, client.address.isIPv6 ? 0x21 : 0x11] + word(UInt16(ends.count)) + ends
  }
}
