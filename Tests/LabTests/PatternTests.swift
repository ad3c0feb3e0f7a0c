import Lab
import Testing

struct PatternTests {
  @Test(arguments: [0, 1, 4095, 1_048_572, 1_048_573, 5_000_000_000] as [UInt64])
  func aPieceIsTheSameWhereverItIsReadFrom(offset: UInt64) {
    let pattern = Pattern(seed: 7)
    let whole = pattern.bytes(offset..<(offset + 3_000_000))
    for index in [0, 1, 63, 1_048_572, 1_048_573, 2_999_999] as [UInt64] {
      #expect(whole[Int(index)] == pattern[offset + index])
    }
    let part = pattern.bytes((offset + 1000)..<(offset + 2000))
    #expect(part[...] == whole[1000..<2000])
    #expect(whole.withUnsafeBytes { pattern.firstMismatch(in: $0, from: offset) } == nil)
  }

  @Test func theFirstWrongByteIsFound() {
    var bytes = Pattern(seed: 9).bytes(100..<2_100_000)
    bytes[2_000_000] ^= 1
    bytes[2_000_005] ^= 1
    #expect(bytes.withUnsafeBytes { Pattern(seed: 9).firstMismatch(in: $0, from: 100) } == 2_000_100)
  }

  @Test(arguments: [1, 8, 64, 1448, 4096, 65536, 1 << 20] as [UInt64])
  func aShiftedStreamDoesNotMatch(shift: UInt64) {
    let bytes = Pattern(seed: 3).bytes(0..<4096)
    #expect(bytes.withUnsafeBytes { Pattern(seed: 3).firstMismatch(in: $0, from: shift) } != nil)
  }

  @Test func streamsOfDifferentSeedsDiffer() {
    let bytes = Pattern(seed: 40001).bytes(0..<64)
    for seed in 40002..<41000 as Range<UInt64> { #expect(bytes != Pattern(seed: seed).bytes(0..<64)) }
  }
}
