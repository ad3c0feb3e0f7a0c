internal import CLinux
internal import Glibc
public import SystemCalls
internal import SystemPackage
public import TCPModel

/// Looks whether anybody else answers for addresses, and whether others answer at all: ARP probes (RFC 5227 section 2.1.1) and
/// neighbour solicitations from the unspecified address (RFC 4862 section 5.4.2) leave no trace in a neighbour's table. Nothing
/// here waits: send a round now and then, and take in what has come.
public final class AddressProbe {
  private let addresses: [ServiceAddress]
  private let witnesses: [IPAddress]
  private let asksForAddresses: Bool
  /// For ARP, one for each interface.
  private var arp: [String: PacketSocket] = [:]
  private var frames: PacketSocket?
  private var neighbours: Descriptor?
  private var echo4: Descriptor?
  private var round: UInt16 = 0
  private let identifier = UInt16.random(in: 1 ... .max)

  /// Addresses that somebody else has answered for, and that one's link-layer address.
  public private(set) var answered: [IPAddress: String] = [:]
  /// Witnesses that have not answered yet.
  public private(set) var silent: Set<IPAddress> = []

  public init(_ addresses: [ServiceAddress], witnesses: [IPAddress]) {
    self.addresses = addresses
    self.witnesses = witnesses
    asksForAddresses = true
  }

  /// Asks witnesses alone, on the links of the addresses.
  public init(for witnesses: [IPAddress], onLinksOf addresses: [ServiceAddress]) {
    self.addresses = addresses
    self.witnesses = witnesses
    asksForAddresses = false
  }

  /// Forgets what was seen, and what has come since.
  /// - Throws: `SystemCallError` when CAP_NET_RAW or an interface is missing.
  public func begin() throws(SystemCallError) {
    if frames == nil { frames = try PacketSocket() }
    for address in addresses where !address.address.isIPv6 && arp[address.interface] == nil {
      arp[address.interface] = try PacketSocket(receivingARPOn: address.interface)
    }
    if neighbours == nil, (addresses.map(\.address) + witnesses).contains(where: \.isIPv6) {
      // A bit that is set is a type that is not wanted: here all but echo replies (129) and neighbour advertisements (136).
      neighbours = try Self.rawSocket(
        AF_INET6, Int32(IPPROTO_ICMPV6), level: 58,
        filter: [.max, .max, .max, .max, ~(1 << 1 | 1 << 8), .max, .max, .max])
    }
    if echo4 == nil, witnesses.contains(where: { !$0.isIPv6 }) {
      // All but echo replies (0).
      echo4 = try Self.rawSocket(AF_INET, Int32(IPPROTO_ICMP), level: 255, filter: [~1])
    }
    round = 0
    receive()
    answered = [:]
    silent = Set(witnesses)
  }

  /// Asks everybody once more.
  /// - Throws: `SystemCallError` when an interface is down or gone: nothing can be said then.
  public func send() throws(SystemCallError) {
    round += 1
    for address in addresses where asksForAddresses {
      guard let hardware = try hardwareAddress(of: address.interface) else { continue }
      let frame =
        address.address.isIPv6
        ? Self.solicitation(for: address.address, hardware) : Self.arpProbe(for: address.address, hardware)
      try frames?.send(frame, on: address.interface)
    }
    for witness in silent {
      // A witness that has no way to it is silent; the other ones are asked.
      try? sendEcho(to: witness)
      guard !witness.isIPv6, let interface = addresses.first(where: { !$0.address.isIPv6 })?.interface,
        let hardware = try hardwareAddress(of: interface)
      else { continue }
      try frames?.send(Self.arpProbe(for: witness, hardware), on: interface)
    }
  }

  /// Takes in what has come.
  public func receive() {
    for (interface, socket) in arp {
      let own = try? hardwareAddress(of: interface)
      Self.drain(socket.number) { frame, _ in takeARP(frame, own: own ?? nil) }
    }
    if let socket = neighbours?.number { Self.drain(socket) { takeICMPv6($0, from: $1) } }
    if let socket = echo4?.number { Self.drain(socket) { message, _ in takeICMP(message) } }
  }

  // MARK: What comes

  /// An Ethernet frame: header 14, then RFC 826 for Ethernet and IPv4.
  private func takeARP(_ frame: UnsafeRawBufferPointer, own: [UInt8]?) {
    guard frame.count >= 42, frame[12] == 0x08, frame[13] == 0x06 else { return }
    let sender = Array(frame[22..<28])
    guard sender != own, let address = IPAddress(bytes: frame[28..<32]) else { return }
    seen(address, at: sender)
  }

  /// An IPv4 packet, header included.
  private func takeICMP(_ packet: UnsafeRawBufferPointer) {
    guard packet.count >= 20, case let header = Int(packet[0] & 15) * 4, packet.count >= header + 8,
      packet[header] == 0,
      isOurs(packet[header + 4], packet[header + 5]), let source = IPAddress(bytes: packet[12..<16])
    else { return }
    silent.remove(source)
  }

  /// An ICMPv6 message without the IPv6 header.
  private func takeICMPv6(_ message: UnsafeRawBufferPointer, from source: IPAddress?) {
    guard message.count >= 8 else { return }
    if message[0] == 129, isOurs(message[4], message[5]), let source { silent.remove(source) }
    guard message[0] == 136, message.count >= 24, let target = IPAddress(bytes: message[8..<24]) else { return }
    // With the target's link-layer address, if it says so (option 2).
    seen(target, at: message.count >= 32 && message[24] == 2 ? Array(message[26..<32]) : [])
  }

  private func isOurs(_ high: UInt8, _ low: UInt8) -> Bool { UInt16(high) << 8 | UInt16(low) == identifier }

  private func seen(_ address: IPAddress, at hardware: [UInt8]) {
    silent.remove(address)
    guard addresses.contains(where: { $0.address == address }) else { return }
    answered[address] = hardware.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }

  // MARK: What goes

  static func arpProbe(for address: IPAddress, _ hardware: [UInt8]) -> [UInt8] {
    let nobody: [UInt8] = [0, 0, 0, 0]
    return [UInt8](repeating: 0xff, count: 6) + hardware + [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1] + hardware + nobody
      + [UInt8](repeating: 0, count: 6) + address.bytes
  }

  /// RFC 4861 section 4.3, from the unspecified address to the solicited-node multicast address.
  static func solicitation(for address: IPAddress, _ hardware: [UInt8]) -> [UInt8] {
    let end = Array(address.bytes.suffix(3))
    let destination: [UInt8] = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff] + end
    return NeighbourDiscovery.frame(
      [135, 0, 0, 0, 0, 0, 0, 0] + address.bytes, from: [UInt8](repeating: 0, count: 16), to: destination,
      hardware: hardware)
  }

  private func sendEcho(to witness: IPAddress) throws(SystemCallError) {
    let number = witness.isIPv6 ? neighbours?.number : echo4?.number
    guard let number else { return }
    var message: [UInt8] = [witness.isIPv6 ? 128 : 8, 0, 0, 0]
    for value in [identifier, round] { message += [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }
    if !witness.isIPv6 {
      // For ICMPv6 the kernel does it.
      let checksum = Checksum.of(message)
      message[2] = UInt8(truncatingIfNeeded: checksum >> 8)
      message[3] = UInt8(truncatingIfNeeded: checksum)
    }
    try systemCall("sendto", on: "\(witness)") {
      message.withUnsafeBytes { bytes in
        SocketAddress.with(Endpoint(address: witness, port: 0)) {
          sendto(number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL), $0, $1)
        }
      }
    }
  }

  /// nil for a link that has no neighbours.
  private func hardwareAddress(of interface: String) throws(SystemCallError) -> [UInt8]? {
    try frames?.hardwareAddress(of: interface) ?? nil
  }
}

/// The sockets.
extension AddressProbe {
  /// - Parameter filter: what is *not* wanted, in the form of the protocol's filter option.
  static func rawSocket(
    _ family: Int32, _ kind: Int32, level: Int32, filter: [UInt32]
  ) throws(SystemCallError) -> Descriptor {
    let socket = Descriptor(
      owning: try systemCall("socket(SOCK_RAW)") {
        Glibc.socket(family, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), kind)
      })
    let number = socket.number
    // ICMP_FILTER (raw(7)) and ICMP6_FILTER (RFC 3542 section 3.2) have the same number.
    try systemCall("setsockopt(filter)") {
      filter.withUnsafeBytes { setsockopt(number, level, 1, $0.baseAddress, socklen_t($0.count)) }
    }
    return socket
  }

  static func drain(_ socket: Int32, _ body: (UnsafeRawBufferPointer, IPAddress?) -> Void) {
    var buffer = [UInt8](repeating: 0, count: 2048)
    while true {
      var source = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let count = withUnsafeMutablePointer(to: &source) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          recvfrom(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT), $0, &length)
        }
      }
      guard count >= 0 || errno == EINTR else { return }
      guard count > 0 else { continue }
      let address = SocketAddress.endpoint(&source)?.address
      buffer.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<count]), address) }
    }
  }
}
