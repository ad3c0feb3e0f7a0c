internal import Glibc
internal import LinuxNetwork
public import TCPModel

extension Endpoint {
  public init(_ address: String, _ port: UInt16) throws {
    guard let parsed = IPAddress(address) else { throw LabError("\(address) is neither an IPv4 nor an IPv6 address") }
    self.init(address: parsed, port: port)
  }

  /// Reads `10.77.0.1:80` or `[fd77::1]:80`.
  public init(text: String) throws {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
      throw LabError("\(text) is not ADDRESS:PORT")
    }
    try self.init(String(text[..<colon].filter { $0 != "[" && $0 != "]" }), port)
  }

  var family: Int32 { address.isIPv6 ? AF_INET6 : AF_INET }
}
