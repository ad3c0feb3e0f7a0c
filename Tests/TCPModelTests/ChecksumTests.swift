import Modelling
import Testing

@testable import TCPModel

@Suite struct ChecksumTests {
  /// RFC 1071 as it is written: 16 bits at a time, high byte first, an odd end padded with zero.
  static func reference(_ bytes: some Collection<UInt8>) -> UInt16 {
    var sum: UInt32 = 0
    var high: UInt8?
    for byte in bytes {
      if let first = high {
        sum += UInt32(first) << 8 | UInt32(byte)
        high = nil
      } else {
        high = byte
      }
      sum = (sum & 0xffff) + (sum >> 16)
    }
    if let high { sum += UInt32(high) << 8 }
    sum = (sum & 0xffff) + (sum >> 16)
    return ~UInt16((sum & 0xffff) + (sum >> 16))
  }

  @Test func itIsTheSumOfTheStandard() {
    // The example of RFC 1071 section 3: the sum is ddf2.
    #expect(Checksum.of([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]) == ~0xddf2)
  }

  @Test(arguments: 0..<8)
  func everyLengthAtEveryAlignment(_ alignment: Int) {
    var random = SeededGenerator(seed: UInt64(alignment))
    for count in Array(0..<70) + [127, 128, 129, 1459, 1460, 1461, 65_515] {
      let bytes = random.bytes(alignment + count)
      let piece = bytes[alignment...]
      let sum = bytes.withUnsafeBytes { Checksum.sum(UnsafeRawBufferPointer(rebasing: $0[alignment...])) }
      #expect(Checksum.value(sum) == Self.reference(piece), "\(count) bytes at \(alignment)")
    }
  }

  @Test func carriesOfExtremeBytesAreNotLost() {
    for count in [8, 9, 16, 1500, 65_535] {
      let ones = [UInt8](repeating: 0xff, count: count)
      #expect(Checksum.of(ones) == Self.reference(ones))
    }
    #expect(Checksum.of([UInt8](repeating: 0, count: 64)) == 0xffff)
  }

  @Test(arguments: [4, 6])
  func aSegmentIsJudgedWithItsPseudoHeader(_ version: Int) throws {
    var random = SeededGenerator(seed: 3)
    for count in 0..<60 {
      let packet = TestPacket.random(version: version, payload: random.bytes(count), &random).bytes
      try packet.withUnsafeBytes { bytes in
        let segment = try Segment.parse(bytes)
        #expect(Checksum.isValid(segment, in: bytes))
      }
      // Every single bit of header and payload counts.
      var broken = packet
      let start = version == 4 ? 20 : 40
      let position = random.within(start...packet.count - 1)
      broken[position] ^= 1 << UInt8(random.below(8))
      broken.withUnsafeBytes { bytes in
        guard let segment = try? Segment.parse(bytes) else { return }
        #expect(!Checksum.isValid(segment, in: bytes), "byte \(position)")
      }
    }
  }
}
