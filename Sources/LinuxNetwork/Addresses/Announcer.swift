internal import CLinux
internal import Glibc
public import SystemCalls
internal import SystemPackage
internal import TCPModel

/// Tells the neighbours on a link that an address is here now: a gratuitous ARP (RFC 5227 section 3) or an unsolicited neighbour
/// advertisement (RFC 4861 section 7.2.6).
public final class Announcer {
  /// Kept open: closing a packet socket waits for every processor, tens of milliseconds that a takeover does not have.
  private let socket: Descriptor

  /// - Throws: `SystemCallError` when CAP_NET_RAW is missing.
  public init() throws(SystemCallError) {
    socket = Descriptor(
      owning: try systemCall("socket(AF_PACKET)") {
        Glibc.socket(AF_PACKET, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
      })
  }

  /// Sends one announcement through packet(7).
  /// - Throws: `SystemCallError` when the interface is gone or down.
  public func announce(_ address: ServiceAddress) throws(SystemCallError) {
    let name = address.interface
    let index = if_nametoindex(name)
    guard index != 0 else { throw SystemCallError("if_nametoindex", on: name, errno: .init(rawValue: ENODEV)) }
    guard let hardware = try Self.hardwareAddress(socket.number, name) else {
      // Point-to-point links have no neighbours to tell.
      return
    }
    for frame in Self.frames(address.address, hardware) {
      var target = sockaddr_ll()
      target.sll_family = UInt16(AF_PACKET)
      target.sll_ifindex = Int32(index)
      target.sll_halen = 6
      withUnsafeMutableBytes(of: &target.sll_addr) { $0.copyBytes(from: frame.prefix(6)) }
      let number = socket.number
      try systemCall("sendto(AF_PACKET)", on: name) {
        withUnsafePointer(to: &target) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            frame.withUnsafeBytes {
              sendto(number, $0.baseAddress, $0.count, 0, address, socklen_t(MemoryLayout<sockaddr_ll>.size))
            }
          }
        }
      }
    }
  }

  /// The link-layer address of an Ethernet interface; nil for another kind of link.
  static func hardwareAddress(_ socket: Int32, _ name: String) throws(SystemCallError) -> [UInt8]? {
    var request = ifreq()
    withUnsafeMutableBytes(of: &request.ifr_ifrn) { $0.copyBytes(from: name.utf8.prefix(Int(IFNAMSIZ) - 1)) }
    try systemCall("ioctl(SIOCGIFHWADDR)", on: name) {
      hf_ioctl_pointer(socket, UInt(HF_SIOCGIFHWADDR), &request)
    }
    // struct sockaddr: family, then the address.
    return withUnsafeBytes(of: &request.ifr_ifru) { bytes in
      let kind = bytes.loadUnaligned(as: UInt16.self)
      return kind == UInt16(ARPHRD_ETHER) ? [UInt8](bytes[2..<8]) : nil
    }
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
    var message: [UInt8] = [136, 0, 0, 0, 0x20, 0, 0, 0] + address.bytes + [2, 1] + hardware
    let pseudo = address.bytes + allNodes.bytes + [0, 0, 0, UInt8(message.count), 0, 0, 0, 58]
    let checksum = Checksum.of(pseudo + message)
    message[2] = UInt8(truncatingIfNeeded: checksum >> 8)
    message[3] = UInt8(truncatingIfNeeded: checksum)
    // Hop limit 255 proves that the sender is on the link.
    let header: [UInt8] = [0x60, 0, 0, 0, 0, UInt8(message.count), 58, 255] + address.bytes + allNodes.bytes
    return [0x33, 0x33, 0, 0, 0, 1] + hardware + [0x86, 0xdd] + header + message
  }
}
