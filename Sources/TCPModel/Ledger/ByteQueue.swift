/// A queue of bytes in a ring that grows and shrinks with what it holds: an idle connection costs no memory.
///
/// Positions count from the oldest byte. Writing may leave a hole (out-of-order input); `count` is one past the highest
/// byte written, and who reads keeps track of what is filled.
public struct ByteQueue: ~Copyable {
  private var storage: UnsafeMutableRawBufferPointer
  private var head = 0
  public private(set) var count = 0
  /// About the most bytes that were held lately: so much room the next ring has from the start, because growing up to it
  /// again would copy everything several times. Halved whenever the queue is empty.
  private var peak = 0

  public init() { storage = UnsafeMutableRawBufferPointer(start: nil, count: 0) }

  public init(_ bytes: [UInt8]) {
    self.init()
    bytes.withUnsafeBytes { append($0) }
  }

  deinit { storage.deallocate() }

  /// Bytes of memory that the queue holds.
  public var capacity: Int { storage.count }

  public mutating func append(_ bytes: UnsafeRawBufferPointer) { write(bytes, at: count) }

  /// Writes `bytes` at `position`, which may be beyond `count`.
  public mutating func write(_ bytes: UnsafeRawBufferPointer, at position: Int) {
    guard let source = bytes.baseAddress, bytes.count > 0, position >= 0 else { return }
    let end = position + bytes.count
    if end > storage.count { resize(to: Self.capacity(for: max(end, peak))) }
    guard let base = storage.baseAddress else { return }
    let start = (head + position) & (storage.count - 1)
    let first = min(bytes.count, storage.count - start)
    (base + start).copyMemory(from: source, byteCount: first)
    if first < bytes.count { base.copyMemory(from: source + first, byteCount: bytes.count - first) }
    count = max(count, end)
    peak = max(peak, count)
  }

  /// Forgets the oldest `length` bytes, or all if there are fewer.
  public mutating func removeFirst(_ length: Int) {
    let length = min(max(length, 0), count)
    count -= length
    if count == 0 {
      // The allocator keeps the ring warm for whoever asks next; this connection may be idle from now on.
      storage.deallocate()
      storage = UnsafeMutableRawBufferPointer(start: nil, count: 0)
      head = 0
      peak /= 2
    } else {
      head = (head + length) & (storage.count - 1)
    }
  }

  /// The bytes of `range` (positions), as one or two pieces of memory; positions at or above `count` are left out.
  public func withBytes(
    _ range: Range<Int>, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    let range = range.clamped(to: 0..<count)
    guard let base = UnsafeRawPointer(storage.baseAddress), !range.isEmpty else {
      return try body(.init(start: nil, count: 0), .init(start: nil, count: 0))
    }
    let start = (head + range.lowerBound) & (storage.count - 1)
    let first = min(range.count, storage.count - start)
    try body(
      .init(start: base + start, count: first), .init(start: base, count: range.count - first))
  }

  public func bytes(_ range: Range<Int>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(range.count)
    withBytes(range) { first, second in
      result.append(contentsOf: first)
      result.append(contentsOf: second)
    }
    return result
  }

  private static func capacity(for count: Int) -> Int {
    var capacity = 1024
    while capacity < count { capacity <<= 1 }
    return capacity
  }

  private mutating func resize(to capacity: Int) {
    let new = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
    var offset = 0
    withBytes(0..<count) { first, second in
      for piece in [first, second] where piece.count > 0 {
        UnsafeMutableRawBufferPointer(rebasing: new[offset...]).copyMemory(from: piece)
        offset += piece.count
      }
    }
    storage.deallocate()
    storage = new
    head = 0
  }
}
