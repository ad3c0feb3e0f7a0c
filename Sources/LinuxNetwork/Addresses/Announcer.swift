public import SystemCalls
internal import TCPModel

/// Tells the neighbours on a link that an address is here now: a gratuitous ARP (RFC 5227 section 3) or an unsolicited neighbour
/// advertisement (RFC 4861 section 7.2.6).
public final class Announcer {
  private let socket: PacketSocket

  /// - Throws: `SystemCallError` when CAP_NET_RAW is missing.
  public init() throws(SystemCallError) { socket = try PacketSocket() }

  /// Sends one announcement.
  /// - Throws: `SystemCallError` when the interface is gone or down.
  public func announce(_ address: ServiceAddress) throws(SystemCallError) {
    // Point-to-point links have no neighbours to tell.
    guard let hardware = try socket.hardwareAddress(of: address.interface) else { return }
    for frame in Self.frames(address.address, hardware) { try socket.send(frame, on: address.interface) }
  }

  static func frames(_ address: IPAddress, _ hardware: [UInt8]) -> [[UInt8]] {
    if address.isIPv6 { return [neighbourAdvertisement(address, hardware)] }
    // Both forms: some neighbours learn from requests alone, some from replies alone.
    return ([1, 2] as [UInt8]).map { operation in
      let broadcast = [UInt8](repeating: 0xff, count: 6)
      let target: [UInt8] = operation == 1 ? [UInt8](repeating: 0, count: 6) : broadcast
      var frame = broadcast + hardware
      frame += [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation]
      frame += hardware
      frame += address.bytes
      frame += target
      return frame + address.bytes
    }
  }

  private static func neighbourAdvertisement(_ address: IPAddress, _ hardware: [UInt8]) -> [UInt8] {
    let allNodes = IPAddress(v6High: 0xff02_0000_0000_0000, low: 1)
    // Type 136; flags: override. Then the address and the target link-layer address option.
    return NeighbourDiscovery.frame(
      [136, 0, 0, 0, 0x20, 0, 0, 0] + address.bytes + [2, 1] + hardware, from: address.bytes, to: allNodes.bytes,
      hardware: hardware)
  }
}
