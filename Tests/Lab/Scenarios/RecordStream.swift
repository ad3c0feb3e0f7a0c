/// What the exactly-once application is: a running hash of its input, and a numbered record with that hash for every 256 bytes of
/// it. Its output depends on every byte that it has ever read, so one byte lost, doubled or out of order shows in all that follows.
public struct RecordStream: Hashable, Sendable {
  public private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
  public private(set) var consumed: UInt64 = 0
  public private(set) var produced: UInt64 = 0
  public private(set) var records: UInt64 = 0

  static let blockLength: UInt64 = 256

  public init() {}

  /// Reads input and returns the output that it makes.
  public mutating func consume(_ input: some Sequence<UInt8>) -> [UInt8] {
    var output: [UInt8] = []
    for byte in input {
      // FNV-1a, 64 bits.
      hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
      consumed += 1
      if consumed % Self.blockLength == 0 { output += record() }
    }
    produced += UInt64(output.count)
    return output
  }

  /// The number and the hash, and a filler of 0 to 63 bytes, so that records and packets have nothing to do with each other.
  private mutating func record() -> [UInt8] {
    defer { records += 1 }
    let head = [records, hash].flatMap { value in
      (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }
    }
    return head + [UInt8](repeating: UInt8(truncatingIfNeeded: records), count: Int(hash % 64))
  }

  /// 32 bytes: the application's whole state.
  public var encoded: [UInt8] {
    [hash, consumed, produced, records].flatMap { value in
      (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }
    }
  }

  public init?(_ bytes: [UInt8]) {
    guard bytes.count == 32 else { return nil }
    func number(_ index: Int) -> UInt64 { bytes[index * 8..<index * 8 + 8].reduce(0) { $0 << 8 | UInt64($1) } }
    hash = number(0)
    consumed = number(1)
    produced = number(2)
    records = number(3)
  }
}
