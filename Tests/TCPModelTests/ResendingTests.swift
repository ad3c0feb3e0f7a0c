import Modelling
import TCPModel
import Testing

@Suite struct ResendingTests {
  private func number(_ value: UInt32) -> SequenceNumber { SequenceNumber(value) }

  @Test func whereNothingIsLeftToSendThereIsNoneOfIt() {
    #expect(Resending(sent: number(100), end: number(100)) == nil)
    #expect(Resending(sent: number(101), end: number(100)) == nil)
  }

  /// The peer is further than the socket, by what its predecessor has sent, and by no more than that.
  @Test(arguments: [UInt32(1000), 0xffff_ffc0])
  func onlyWhatTheKernelWouldIgnoreIsReplaced(_ start: UInt32) throws {
    let sent = number(start)
    let resending = try #require(Resending(sent: sent, end: sent + 100))
    #expect(resending.substitute(for: sent - 1) == nil)
    #expect(resending.substitute(for: sent) == nil)
    #expect(resending.substitute(for: sent + 1) == sent)
    #expect(resending.substitute(for: sent + 100) == sent)
    // Nobody has sent that: the kernel is right.
    #expect(resending.substitute(for: sent + 101) == nil)
  }

  @Test func itEndsWhenTheSocketHasCaughtUp() throws {
    let resending = try #require(Resending(sent: number(0), end: number(100)))
    let further = try #require(resending.advanced(to: number(60)))
    #expect(further.substitute(for: number(50)) == nil)
    #expect(further.substitute(for: number(70)) == number(60))
    // A retransmission of what was before.
    #expect(further.advanced(to: number(30)) == further)
    #expect(further.advanced(to: number(100)) == nil)
    #expect(further.advanced(to: number(150)) == nil)
  }

  @Test(arguments: [4, 6])
  func aCopyDiffersInWhatItAcknowledgesAlone(version: Int) throws {
    var random = SeededGenerator(seed: UInt64(version))
    for count in [0, 1, 63, 1460, 64_000] {
      var packet = TestPacket.random(version: version, payload: random.bytes(count), &random)
      let bytes = packet.bytes
      packet.acknowledgement = 0x8000_0001
      let expected = packet.bytes
      try bytes.withUnsafeBytes { bytes in
        let segment = try Segment.parse(bytes)
        #expect(segment.copy(of: bytes, acknowledging: number(0x8000_0001)) == expected)
        // A card would have filled in the checksum.
        var blank = Array(bytes)
        blank[segment.headerOffset + 16] = 0
        blank[segment.headerOffset + 17] = 0
        #expect(try blank.withUnsafeBytes { try Segment.parse($0).copy(of: $0) } == Array(bytes))
      }
    }
  }
}
