internal import Glibc
internal import TCPModel

/// An interface as it is now: its link and its addresses.
public struct InterfaceState: Hashable, Sendable {
  /// The kernel's number; an interface that is made anew has another one.
  public let index: Int32
  /// An operator has it up (IFF_UP).
  public let isUp: Bool
  /// Its link can carry frames (IFF_LOWER_UP): there is a cable, and something at its other end.
  public let hasCarrier: Bool
  /// How often the carrier came or went. Tells of an outage that was over before anybody looked.
  public let carrierChanges: UInt32
  /// In the kernel's order.
  public let addresses: [AssignedAddress]

  /// - Returns: the kernel's number of the interface that has this name now; 0 when there is none.
  public static func index(of name: String) -> Int32 { Int32(if_nametoindex(name)) }

  /// Frames leave and arrive.
  public var isRunning: Bool { isUp && hasCarrier }

  /// - Returns: the address with whatever prefix length it has, with this one if there are several; nil when it is not here.
  public func assigned(_ address: ServiceAddress) -> AssignedAddress? {
    let found = addresses.filter { $0.address == address.address }
    return found.first { $0.prefixLength == address.prefixLength } ?? found.first
  }
}
