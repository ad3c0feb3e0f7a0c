import Glibc
import Lab
import TCPModel

/// A pcap file built packet by packet.
struct HandmadeCapture {
  private var bytes: [UInt8] = []
  private var milliseconds: UInt32 = 0
  private let linkType: UInt32

  init(linkType: UInt32 = 1, magic: UInt32 = 0xa1b2_c3d4) {
    self.linkType = linkType
    for word in [magic, 0x0004_0002, 0, 0, 262_144, linkType] { append(word) }
  }

  /// The kernel's fields of a packet.
  struct Packet {
    var fromService = true
    var sequence: UInt32
    var acknowledgement: UInt32 = 0
    var flags: SegmentHeader.Flags = [.ack]
    var timestamp: UInt32?
    var payload: [UInt8] = []
    var clientPort: UInt16 = 40000
    /// Bytes of the packet that the capture kept.
    var kept: Int?
    /// Each byte of the link-layer address that it comes from.
    var sender: UInt8 = 2
  }

  mutating func pass(milliseconds: UInt32) { self.milliseconds += milliseconds }

  mutating func add(_ packet: Packet) {
    let options: [UInt8] =
      packet.timestamp.map { [1, 1, 8, 10] + bigEndian($0) + [0, 0, 0, 0] } ?? []
    let headerCount = 20 + options.count
    var frame: [UInt8] =
      linkType == 1 ? [UInt8](repeating: 2, count: 6) + [UInt8](repeating: packet.sender, count: 6) + [0x08, 0x00] : []
    let total = 20 + headerCount + packet.payload.count
    let service: [UInt8] = [10, 77, 0, 100]
    let client: [UInt8] = [10, 77, 0, 9]
    frame += [0x45, 0] + bigEndian(UInt16(total)) + [0, 0, 0x40, 0, 64, 6, 0, 0]
    frame += packet.fromService ? service + client : client + service
    let ports: [UInt16] = packet.fromService ? [80, packet.clientPort] : [packet.clientPort, 80]
    frame += bigEndian(ports[0]) + bigEndian(ports[1]) + bigEndian(packet.sequence) + bigEndian(packet.acknowledgement)
    frame += [UInt8(headerCount / 4) << 4, packet.flags.rawValue, 0xff, 0xff, 0, 0, 0, 0] + options + packet.payload
    milliseconds += 1
    append(1_700_000_000)
    append(milliseconds * 1000)
    append(UInt32(min(packet.kept ?? frame.count, frame.count)))
    append(UInt32(frame.count))
    bytes += frame.prefix(packet.kept ?? frame.count)
  }

  /// SYN, SYN-ACK and ACK: the service's stream begins at 1001, the client's at 5001.
  mutating func addHandshake(timestamp: UInt32? = 100, clientPort: UInt16 = 40000) {
    add(Packet(fromService: false, sequence: 5000, flags: [.syn], timestamp: 1, clientPort: clientPort))
    add(Packet(sequence: 1000, flags: [.syn, .ack], timestamp: timestamp, clientPort: clientPort))
    add(Packet(fromService: false, sequence: 5001, flags: [.ack], timestamp: 1, clientPort: clientPort))
  }

  func check(mayBeOvertaken: Bool = false) throws -> CaptureCheck {
    try bytes.withUnsafeBytes {
      try CaptureCheck(CaptureFile(bytes: $0), isService: { $0.port == 80 }, mayBeOvertaken: { _ in mayBeOvertaken })
    }
  }

  /// The same with the file cut off after `count` bytes.
  func check(prefix count: Int) throws -> CaptureCheck {
    try bytes.prefix(count).withUnsafeBytes { try CaptureCheck(CaptureFile(bytes: $0), isService: { $0.port == 80 }) }
  }

  var count: Int { bytes.count }

  private mutating func append(_ word: UInt32) {
    withUnsafeBytes(of: word) { bytes += $0 }
  }

  private func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }
}
