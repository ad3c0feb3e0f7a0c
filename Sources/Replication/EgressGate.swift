/// The output-commit rule: no packet leaves before the standby holds everything that the packet tells the peer.
///
/// Packets wait in the order in which they were recorded. Each waits for a position of the replication stream; positions never
/// go back, so what may leave is always a prefix, and one batch verdict lets it go.
public struct EgressGate: Sendable {
  private struct Waiting {
    var packet: UInt32
    var position: UInt64
  }

  /// Power of two; `head` and `tail` count for ever and are masked.
  private var ring: [Waiting]
  private var head = 0
  private var tail = 0
  /// Everything below is held by the standby.
  public private(set) var committed: UInt64 = 0
  /// Nobody follows and the configuration allows to go on alone: nothing waits.
  public private(set) var isOpen: Bool

  public init(isOpen: Bool = false) {
    self.isOpen = isOpen
    ring = [Waiting](repeating: Waiting(packet: 0, position: 0), count: 1024)
  }

  public var waitingCount: Int { tail - head }

  /// A packet was recorded; it may leave once everything below `position` is on the standby.
  /// - Parameter packet: the kernel's number for it, which grows with each packet of the queue.
  public mutating func hold(_ packet: UInt32, until position: UInt64) {
    if tail - head == ring.count { grow() }
    ring[tail & (ring.count - 1)] = Waiting(packet: packet, position: position)
    tail += 1
  }

  /// The standby holds everything below `position`.
  public mutating func commit(_ position: UInt64) { committed = max(committed, position) }

  public mutating func open() { isOpen = true }
  public mutating func close() { isOpen = false }

  /// The last packet of the prefix that may leave now, and forgets that prefix; nil when none may.
  public mutating func release() -> UInt32? {
    var last: UInt32?
    while head < tail {
      let waiting = ring[head & (ring.count - 1)]
      guard isOpen || waiting.position <= committed else { break }
      last = waiting.packet
      head += 1
    }
    return last
  }

  /// Forgets every waiting packet: they are to be dropped.
  /// - Returns: the last of them; nil when none waited.
  @discardableResult
  public mutating func forgetAll() -> UInt32? {
    guard head < tail else { return nil }
    head = tail
    return ring[(tail - 1) & (ring.count - 1)].packet
  }

  private mutating func grow() {
    var larger: [Waiting] = []
    larger.reserveCapacity(ring.count * 2)
    for index in head..<tail { larger.append(ring[index & (ring.count - 1)]) }
    larger.append(contentsOf: repeatElement(Waiting(packet: 0, position: 0), count: ring.count))
    tail -= head
    head = 0
    ring = larger
  }
}
