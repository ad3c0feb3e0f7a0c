internal import CLinux
internal import Glibc
internal import SystemCalls
internal import SystemPackage

/// A packet(7) socket for whole Ethernet frames. It needs CAP_NET_RAW.
///
/// Whoever has one keeps it open: closing one waits for every processor, tens of milliseconds that a takeover does not have.
final class PacketSocket {
  private let descriptor: Descriptor

  var number: Int32 { descriptor.number }

  /// - Parameter interface: whose ARP frames arrive at the socket; nil for one that only sends.
  init(receivingARPOn interface: String? = nil) throws(SystemCallError) {
    let descriptor = Descriptor(
      owning: try systemCall("socket(AF_PACKET)") {
        Glibc.socket(AF_PACKET, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
      })
    if let interface {
      let number = descriptor.number
      var place = try Self.place(on: interface, protocol: UInt16(ETH_P_ARP))
      try systemCall("bind(AF_PACKET)", on: interface) { Self.with(&place) { bind(number, $0, $1) } }
    }
    self.descriptor = descriptor
  }

  /// Sends a frame as it is, its Ethernet header included.
  /// - Throws: `SystemCallError` when the interface is gone or down.
  func send(_ frame: [UInt8], on interface: String) throws(SystemCallError) {
    let number = descriptor.number
    var place = try Self.place(on: interface, protocol: 0)
    try systemCall("sendto(AF_PACKET)", on: interface) {
      Self.with(&place) { address, length in
        frame.withUnsafeBytes { sendto(number, $0.baseAddress, $0.count, 0, address, length) }
      }
    }
  }

  /// The link-layer address of an Ethernet interface; nil for another kind of link, which has no neighbours.
  func hardwareAddress(of interface: String) throws(SystemCallError) -> [UInt8]? {
    var request = ifreq()
    withUnsafeMutableBytes(of: &request.ifr_ifrn) { $0.copyBytes(from: interface.utf8.prefix(Int(IFNAMSIZ) - 1)) }
    let number = descriptor.number
    try systemCall("ioctl(SIOCGIFHWADDR)", on: interface) {
      hf_ioctl_pointer(number, UInt(HF_SIOCGIFHWADDR), &request)
    }
    // struct sockaddr: family, then the address.
    return withUnsafeBytes(of: &request.ifr_ifru) { bytes in
      let kind = bytes.loadUnaligned(as: UInt16.self)
      return kind == UInt16(ARPHRD_ETHER) ? [UInt8](bytes[2..<8]) : nil
    }
  }

  private static func place(on interface: String, protocol kind: UInt16) throws(SystemCallError) -> sockaddr_ll {
    let index = if_nametoindex(interface)
    guard index != 0 else { throw SystemCallError("if_nametoindex", on: interface, errno: .init(rawValue: ENODEV)) }
    var address = sockaddr_ll()
    address.sll_family = UInt16(AF_PACKET)
    address.sll_protocol = kind.bigEndian
    address.sll_ifindex = Int32(index)
    return address
  }

  private static func with<Result>(
    _ place: inout sockaddr_ll, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    withUnsafePointer(to: &place) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_ll>.size))
      }
    }
  }
}
