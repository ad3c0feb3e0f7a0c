internal import CNetlink
public import TCPModel

/// An address as an interface has it now (struct ifaddrmsg, rtnetlink(7)).
public struct AssignedAddress: Hashable, Sendable {
  public let address: IPAddress
  /// The length of the network's prefix in bits: 0 to 32 for IPv4, 0 to 128 for IPv6.
  public let prefixLength: Int
  /// IFA_F_* of linux/if_addr.h.
  let flags: UInt32
  /// For how long programs may choose the address as the source of new connections, s; `UInt32.max` for ever.
  public let preferredLifetime: UInt32
  /// For how long the address stays, s; `UInt32.max` for ever.
  public let validLifetime: UInt32

  /// IPv4: another address of the same network came before on the interface. The kernel removes this one together with that, or
  /// puts it in its place (net.ipv4.conf.*.promote_secondaries).
  public var isSecondary: Bool { !address.isIPv6 && flags & UInt32(IFA_F_SECONDARY) != 0 }
  /// IPv6: duplicate address detection is not over, or has found somebody else: no program can bind to the address.
  public var isUnusable: Bool { address.isIPv6 && flags & UInt32(IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0 }
  /// IPv6: no program gets the address as its source unless it binds to it (RFC 6724 section 5, rule 3).
  public var isDeprecated: Bool { preferredLifetime == 0 }
  /// Stays until it is removed.
  public var isPermanent: Bool { validLifetime == .max }
  /// IPv6: the kernel keeps no route to the network on the address's account.
  var hasNoRoute: Bool { flags & UInt32(IFA_F_NOPREFIXROUTE) != 0 }

  /// Both are of one network, as the kernel sees it.
  public func sharesNetwork(with other: AssignedAddress) -> Bool {
    prefixLength == other.prefixLength && address.isIPv6 == other.address.isIPv6
      && address.network(prefixLength) == other.address.network(prefixLength)
  }
}

extension AssignedAddress: CustomStringConvertible {
  public var description: String { "\(address)/\(prefixLength)" }
}

extension IPAddress {
  /// The first address of the network that the address is in.
  /// - Parameter length: of the prefix, bits.
  func network(_ length: Int) -> IPAddress {
    guard isIPv6 else { return IPAddress(v4: UInt32(truncatingIfNeeded: high) & ~(UInt32.max >> UInt32(length))) }
    return IPAddress(
      v6High: high & ~(UInt64.max >> UInt64(min(length, 64))), low: low & ~(UInt64.max >> UInt64(max(0, length - 64))))
  }
}
