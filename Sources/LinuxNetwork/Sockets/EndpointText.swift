public import TCPModel

extension Endpoint {
  /// Reads what `description` writes: `10.78.0.1:7411` or `[fd78::1]:7411`; nil for anything else. The port is decimal,
  /// 1 to 65535: nothing listens on or talks to port 0.
  public init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let digits = text[text.index(after: colon)...]
    guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits), port > 0 else {
      return nil
    }
    var host = text[..<colon]
    let bracketed = host.hasPrefix("[") && host.hasSuffix("]")
    if bracketed { host = host.dropFirst().dropLast() }
    // The brackets are what keeps an IPv6 address apart from its port.
    guard let address = IPAddress(String(host)), address.isIPv6 == bracketed else { return nil }
    self.init(address: address, port: port)
  }
}
