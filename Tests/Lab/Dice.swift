internal import Glibc

/// Random numbers that can be had again: `HOLDFAST_SEED` sets the seed, and a test that fails says which one it had.
public struct Dice: RandomNumberGenerator, Sendable {
  public let seed: UInt64
  private var state: UInt64

  /// Throws with `HOLDFAST_SEED`, or with a seed that nobody has had yet.
  public init() {
    let given = getenv("HOLDFAST_SEED").flatMap { UInt64(String(cString: $0)) }
    self.init(seed: given ?? .random(in: 0 ... .max))
  }

  public init(seed: UInt64) {
    self.seed = seed
    state = seed
  }

  /// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }

  /// True with a probability of `share`, 0 to 1.
  public mutating func falls(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &self) < share }

  public mutating func pick(_ range: ClosedRange<UInt64>) -> UInt64 { .random(in: range, using: &self) }
}
