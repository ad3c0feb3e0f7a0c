/// Application state, and the point of both streams at which it holds: after consuming and producing so many bytes.
public struct Checkpoint: Hashable, Sendable {
  public var state: [UInt8]
  /// Stream offset of the input that the state still needs; nil when the state does not depend on it.
  public var consumed: Int64?
  /// Stream offset of the output that comes out of the state; nil when the state does not depend on it.
  public var produced: Int64?

  /// Longest state, bytes.
  public static let stateLimit = 256 << 10

  public init(state: [UInt8], consumed: Int64? = nil, produced: Int64? = nil) {
    self.state = state
    self.consumed = consumed
    self.produced = produced
  }
}

/// The checkpoints of one connection that can still matter, oldest first.
///
/// A checkpoint counts once it is covered: the input it consumed was acknowledged to the peer and the output it produced has
/// left. Bytes that the application handed to the kernel and that never left are gone with the host, and a state from after
/// them could not make them again.
public struct CheckpointLedger: Hashable, Sendable {
  /// The newest that is covered: what the application goes on from.
  public private(set) var covered: Checkpoint?
  /// Later ones, not covered yet.
  public private(set) var pending: [Checkpoint] = []

  /// Checkpoints that wait for their bytes. More than this and the last of them is replaced by the one that comes: the first
  /// is kept, so that a stream of checkpoints always has one that will be covered.
  public static let pendingLimit = 16

  public init(covered: Checkpoint? = nil, pending: [Checkpoint] = []) {
    self.covered = covered
    self.pending = pending
  }

  public var isEmpty: Bool { covered == nil && pending.isEmpty }
  /// The offsets that the next one may not be before.
  public var lowestConsumed: Int64 { pending.last { $0.consumed != nil }?.consumed ?? covered?.consumed ?? 0 }
  public var lowestProduced: Int64 { pending.last { $0.produced != nil }?.produced ?? covered?.produced ?? 0 }
  /// Input from here on belongs to a state that counts, or to the first that may; nil when none needs any.
  var neededFrom: Int64? { covered?.consumed ?? pending.first { $0.consumed != nil }?.consumed }

  mutating func append(_ checkpoint: Checkpoint) {
    if pending.count >= Self.pendingLimit { pending.removeLast() }
    pending.append(checkpoint)
  }

  /// - Returns: whether another one is covered now.
  mutating func cover(received: Int64, sent: Int64) -> Bool {
    let count = pending.prefix { $0.consumed ?? 0 <= received && $0.produced ?? 0 <= sent }.count
    guard count > 0 else { return false }
    covered = pending[count - 1]
    pending.removeFirst(count)
    return true
  }

  mutating func forgetPending() { pending = [] }
}
