/// An IPv4 or IPv6 address, as the bytes that travel.
public struct IPAddress: Hashable, Sendable {
  /// The first 8 bytes of the address as a big-endian number; for IPv4 the address itself in the low 32 bits.
  public let high: UInt64
  /// The last 8 bytes of an IPv6 address as a big-endian number; 0 for IPv4.
  public let low: UInt64
  public let isIPv6: Bool

  @inlinable public init(v4 address: UInt32) {
    high = UInt64(address)
    low = 0
    isIPv6 = false
  }
  @inlinable public init(v6High: UInt64, low: UInt64) {
    high = v6High
    self.low = low
    isIPv6 = true
  }

  /// The address's 4 or 16 bytes in network order.
  public var bytes: [UInt8] {
    if !isIPv6 { return (0..<4).map { UInt8(truncatingIfNeeded: high >> UInt64(24 - 8 * $0)) } }
    return (0..<8).map { UInt8(truncatingIfNeeded: high >> UInt64(56 - 8 * $0)) }
      + (0..<8).map { UInt8(truncatingIfNeeded: low >> UInt64(56 - 8 * $0)) }
  }

  /// Reads 4 or 16 bytes in network order; `nil` for any other count.
  public init?(bytes: some Collection<UInt8>) {
    func number(_ part: some Collection<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
    switch bytes.count {
    case 4: self.init(v4: UInt32(truncatingIfNeeded: number(bytes)))
    case 16: self.init(v6High: number(bytes.prefix(8)), low: number(bytes.dropFirst(8)))
    default: return nil
    }
  }

  /// An IPv4 address inside IPv6 (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2) as the IPv4 address that is on the wire.
  public var unmapped: IPAddress {
    isIPv6 && high == 0 && low >> 32 == 0xffff ? IPAddress(v4: UInt32(truncatingIfNeeded: low)) : self
  }
}

extension IPAddress: CustomStringConvertible {
  /// Dotted for IPv4; RFC 5952's canonical text for IPv6.
  public var description: String {
    if !isIPv6 { return bytes.map(String.init).joined(separator: ".") }
    let groups = (0..<8).map { index -> UInt16 in
      let half = index < 4 ? high : low
      return UInt16(truncatingIfNeeded: half >> UInt64(48 - 16 * (index % 4)))
    }
    // The longest run of two or more zero groups becomes "::", the first one on a tie.
    var best = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start >= 2, end - start > best.count { best = start..<end }
      start = max(end, start + 1)
    }
    func text(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
    if best.isEmpty { return text(groups[...]) }
    return text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
  }
}

/// An address and a TCP or UDP port.
public struct Endpoint: Hashable, Sendable {
  public let address: IPAddress
  public let port: UInt16

  @inlinable public init(address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }
}

extension Endpoint: CustomStringConvertible {
  /// `10.77.0.100:80` or `[fd77::100]:80`.
  public var description: String { address.isIPv6 ? "[\(address)]:\(port)" : "\(address):\(port)" }
}

/// What tells one connection from all others on the wire, seen from the host that owns it.
public struct Flow: Hashable, Sendable {
  public let local: Endpoint
  public let peer: Endpoint

  @inlinable public init(local: Endpoint, peer: Endpoint) {
    self.local = local
    self.peer = peer
  }

  /// Everything that the ends of a flow can choose, in as few words as hold it: this is done for each packet.
  @inlinable public func hash(into hasher: inout Hasher) {
    if peer.address.isIPv6 {
      hasher.combine(peer.address.high)
      hasher.combine(peer.address.low)
      hasher.combine(local.address.high ^ local.address.low)
    } else {
      hasher.combine(peer.address.high << 32 | local.address.high & 0xffff_ffff)
    }
    hasher.combine(UInt32(peer.port) << 16 | UInt32(local.port))
  }

  @inlinable public static func == (left: Flow, right: Flow) -> Bool {
    left.local == right.local && left.peer == right.peer
  }
}

extension Flow: CustomStringConvertible {
  public var description: String { "\(local) <- \(peer)" }
}
