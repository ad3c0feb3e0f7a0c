import LinuxNetwork
import Testing

@testable import TLSTransport

/// Bytes that tell where they stand.
private func pattern(_ count: Int, seed: Int = 0) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: ($0 &+ seed) &* 31 &+ ($0 >> 8)) }
}

@Suite struct TransportTests {
  private func ends(recordsPerKey: Int = 1 << 23) throws -> Ends {
    try Ends(client: identity(), server: identity(), recordsPerKey: recordsPerKey)
  }

  @Test func bothEndsThatKnowEachOtherTalk() throws {
    let ends = try ends()
    #expect(try ends.client.write([pattern(10)]) == nil, "nothing may leave before the other side is known")
    #expect(!ends.client.isEstablished)
    try ends.shakeHands()
    #expect(ends.client.isEstablished && ends.server.isEstablished)
    #expect(try ends.client.write([pattern(10), [], pattern(5)]) == 15)
    #expect(try ends.server.readAll() == pattern(10) + pattern(5))
    #expect(try ends.server.write([pattern(3)]) == 3)
    #expect(try ends.client.readAll() == pattern(3))
    #expect(!ends.client.hasUnsentBytes && !ends.client.hasBufferedInput)
  }

  /// Pieces of every size come out as one stream, whatever the records' borders.
  @Test(arguments: [
    [1, 2, 3], [16_384], [16_383, 1], [36, 65_000, 36, 1448], [0, 100_000, 0], [5000, 5000, 5000, 5000],
  ])
  func piecesComeOutAsOneStream(_ counts: [Int]) throws {
    let ends = try ends()
    try ends.shakeHands()
    let pieces = counts.map { pattern($0, seed: $0) }
    #expect(try ends.client.write(pieces) == counts.reduce(0, +))
    #expect(try ends.server.readAll(room: 1000) == Array(pieces.joined()))
  }

  /// Small pieces share a record, and a burst of records goes out with one write: otherwise TLS would undo every batch.
  @Test func aBurstIsOneWriteOfFullRecords() throws {
    let ends = try ends()
    try ends.shakeHands()
    let before = ends.clientEnd.writes
    let pieces = (0..<60).map { pattern(1000, seed: $0) }
    #expect(try ends.client.write(pieces) == 60_000)
    #expect(ends.clientEnd.writes == before + 1)
    // Four records: 5 bytes ahead and 17 behind each.
    #expect(ends.serverEnd.incoming.bytes.count == 60_000 + 4 * 22)
  }

  @Test func aWireThatTakesLittleLosesNothing() throws {
    let ends = try ends()
    try ends.shakeHands()
    ends.clientEnd.outgoing.room = 1000
    let sent = pattern(300_000)
    var taken = 0
    var received: [UInt8] = []
    while received.count < sent.count {
      if taken < sent.count { taken += try ends.client.write([Array(sent[taken...])]) ?? 0 }
      try ends.client.flush()
      let more = try ends.server.readAll()
      try #require(!more.isEmpty || ends.client.hasUnsentBytes || taken < sent.count)
      received += more
    }
    #expect(received == sent)
    #expect(!ends.client.hasUnsentBytes)
  }

  /// What is decrypted or at least here, the descriptor no longer tells of.
  @Test func inputThatDidNotFitIsSaidToBeThere() throws {
    let ends = try ends()
    try ends.shakeHands()
    _ = try ends.client.write([pattern(50_000)])
    var space = [UInt8](repeating: 0, count: 1000)
    #expect(try space.withUnsafeMutableBytes { try ends.server.read(into: $0) } == 1000)
    #expect(ends.server.hasBufferedInput)
    #expect(try ends.server.readAll().count == 49_000)
    #expect(!ends.server.hasBufferedInput)
  }

  /// AES-GCM may not be used for more than 2^24.5 records with one key.
  @Test func keysChangeUnderTheStream() throws {
    let ends = try ends(recordsPerKey: 3)
    try ends.shakeHands()
    for round in 0..<20 {
      #expect(try ends.client.write([pattern(40_000, seed: round)]) == 40_000)
      #expect(try ends.server.readAll() == pattern(40_000, seed: round))
      #expect(try ends.server.write([pattern(100, seed: round)]) == 100)
      #expect(try ends.client.readAll() == pattern(100, seed: round))
    }
  }

  @Test func aFarewellBeforeTheEndIsRead() throws {
    let ends = try ends()
    try ends.shakeHands()
    _ = try ends.client.write([pattern(20)])
    ends.serverEnd.incoming.isEnded = true
    var space = [UInt8](repeating: 0, count: 1000)
    #expect(try space.withUnsafeMutableBytes { try ends.server.read(into: $0) } == 20)
    #expect(throws: TLSError.session("the other side closed the channel")) { try ends.server.readAll() }
  }

  @Test(arguments: [0, 3, 7, 100, 5000])
  func aChangedBitEndsTheSession(_ place: Int) throws {
    let ends = try ends()
    try ends.shakeHands()
    _ = try ends.client.write([pattern(6000)])
    ends.serverEnd.incoming.bytes[place] ^= 0x10
    #expect(throws: TLSError.self) { try ends.server.readAll() }
  }
}
