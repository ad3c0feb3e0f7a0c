public import TCPModel

/// An address that moves between the hosts of a pair, and where this host puts it.
public struct ServiceAddress: Hashable, Sendable {
  public let address: IPAddress
  /// The length of the network's prefix in bits: 0 to 32 for IPv4, 0 to 128 for IPv6.
  public let prefixLength: Int
  /// The interface's name; the kernel allows 15 bytes (IFNAMSIZ - 1), no slash and no white space.
  public let interface: String

  /// Reads `10.77.0.100/24 dev eth0`.
  public init(_ text: String) throws(ServiceAddressError) {
    let words = text.split(whereSeparator: \.isWhitespace).map(String.init)
    guard words.count == 3, words[1] == "dev" else { throw ServiceAddressError(text: text, reason: .form) }
    let parts = words[0].split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard let address = IPAddress(parts[0]) else { throw ServiceAddressError(text: text, reason: .address(parts[0])) }
    guard parts.count == 2 else { throw ServiceAddressError(text: text, reason: .noPrefix) }
    let longest = address.isIPv6 ? 128 : 32
    guard let length = Self.decimal(parts[1]), length <= longest else {
      throw ServiceAddressError(text: text, reason: .prefix(parts[1], longest: longest))
    }
    guard Self.isInterfaceName(words[2]) else { throw ServiceAddressError(text: text, reason: .interface(words[2])) }
    self.init(address: address, prefixLength: length, interface: words[2])
  }

  public init(address: IPAddress, prefixLength: Int, interface: String) {
    self.address = address
    self.prefixLength = prefixLength
    self.interface = interface
  }

  /// `Int` alone would also read `+24`.
  private static func decimal(_ text: String) -> Int? {
    text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
  }

  /// As dev_valid_name in the kernel's net/core/dev.c judges.
  private static func isInterfaceName(_ text: String) -> Bool {
    (1...15).contains(text.utf8.count) && text != "." && text != ".."
      && !text.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") || $0 <= UInt8(ascii: " ") }
  }
}

extension ServiceAddress: CustomStringConvertible {
  public var description: String { "\(address)/\(prefixLength) dev \(interface)" }
}

/// What is wrong with the text of a service address.
public struct ServiceAddressError: Error, Hashable, Sendable {
  public enum Reason: Hashable, Sendable {
    case form
    case address(String)
    case noPrefix
    case prefix(String, longest: Int)
    case interface(String)
  }
  public let text: String
  public let reason: Reason
}

extension ServiceAddressError: CustomStringConvertible {
  public var description: String {
    switch reason {
    case .form: "\"\(text)\" does not have the form \"10.77.0.100/24 dev eth0\""
    case .address(let part): "\"\(part)\" is no IPv4 or IPv6 address"
    case .noPrefix: "\"\(text)\" lacks the length of the network's prefix, as in \"10.77.0.100/24 dev eth0\""
    case .prefix(let part, let longest): "the prefix length \"\(part)\" is no number from 0 to \(longest)"
    case .interface(let part):
      "\"\(part)\" cannot be the name of an interface: 1 to 15 bytes without \"/\", \":\" and white space"
    }
  }
}
