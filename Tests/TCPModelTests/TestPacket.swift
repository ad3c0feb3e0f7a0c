import Modelling
import TCPModel

/// A packet put together field by field, independently of `SegmentBuilder`.
struct TestPacket {
  var version = 4
  var source: [UInt8] = [10, 77, 0, 2]
  var destination: [UInt8] = [10, 77, 0, 100]
  var sourcePort: UInt16 = 40_000
  var destinationPort: UInt16 = 80
  var sequence: UInt32 = 1000
  var acknowledgement: UInt32 = 2000
  var flags: UInt8 = 0x10
  var window: UInt16 = 500
  /// Multiple of 4 bytes.
  var options: [UInt8] = []
  var payload: [UInt8] = []
  /// IPv4 options, or IPv6 extension headers with the number of the first one.
  var extra: [UInt8] = []
  var firstHeader: UInt8 = 6
  var fragment: UInt16 = 0x4000
  var trailer: [UInt8] = []

  static func v6() -> TestPacket {
    TestPacket(
      version: 6, source: [0xfd, 0x77] + [UInt8](repeating: 0, count: 13) + [2],
      destination: [0xfd, 0x77] + [UInt8](repeating: 0, count: 13) + [100])
  }

  static func random(version: Int, payload: [UInt8], _ random: inout SeededGenerator) -> TestPacket {
    var packet = version == 6 ? TestPacket.v6() : TestPacket()
    packet.sourcePort = UInt16(truncatingIfNeeded: random.next())
    packet.destinationPort = UInt16(truncatingIfNeeded: random.next())
    packet.sequence = UInt32(truncatingIfNeeded: random.next())
    packet.acknowledgement = UInt32(truncatingIfNeeded: random.next())
    packet.window = UInt16(truncatingIfNeeded: random.next())
    packet.payload = payload
    if random.chance(50) { packet.options = [1, 1, 8, 10] + random.bytes(8) }
    return packet
  }

  var bytes: [UInt8] {
    func be(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }
    func be(_ value: UInt32) -> [UInt8] { be(UInt16(value >> 16)) + be(UInt16(truncatingIfNeeded: value)) }
    var tcp = be(sourcePort) + be(destinationPort) + be(sequence) + be(acknowledgement)
    tcp += [UInt8((20 + options.count) / 4) << 4, flags] + be(window) + [0, 0, 0, 0]
    tcp += options + payload
    let pseudo = source + destination + be(UInt32(tcp.count)) + [0, 0, 0, 6]
    let sum = ChecksumTests.reference(pseudo + tcp)
    tcp[16] = UInt8(sum >> 8)
    tcp[17] = UInt8(truncatingIfNeeded: sum)
    if version == 6 {
      let head: [UInt8] = [0x60, 0, 0, 0] + be(UInt16(extra.count + tcp.count)) + [firstHeader, 64]
      return head + source + destination + extra + tcp + trailer
    }
    var head: [UInt8] = [0x40 | UInt8((20 + extra.count) / 4), 0] + be(UInt16(20 + extra.count + tcp.count))
    head += [0, 0] + be(fragment) + [64, firstHeader, 0, 0] + source + destination + extra
    let headSum = ChecksumTests.reference(head)
    head[10] = UInt8(headSum >> 8)
    head[11] = UInt8(truncatingIfNeeded: headSum)
    return head + tcp + trailer
  }

  func parsed() throws -> (segment: Segment, payload: [UInt8]) {
    let packet = bytes
    return try packet.withUnsafeBytes { bytes in
      let segment = try Segment.parse(bytes)
      return (segment, Array(segment.payload(in: bytes)))
    }
  }
}
