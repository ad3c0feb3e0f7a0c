internal import TCPModel

/// The bytes of one direction of a replication channel as they arrive, cut into frames.
public struct IncomingStream: ~Copyable {
  private var storage: UnsafeMutableRawBufferPointer
  private var start = 0
  private var end = 0
  /// Stream position of the first byte that is not yet part of a frame handed out.
  public private(set) var position: UInt64 = 0

  public init(capacity: Int = 1 << 20) {
    storage = .allocate(byteCount: max(capacity, 4096), alignment: 16)
  }

  deinit { storage.deallocate() }

  /// Counting goes on from here: the other side's hello said so.
  public mutating func rebase(to position: UInt64) { self.position = position }

  /// Memory for the transport to write into; ends the life of every frame handed out.
  public mutating func space() -> UnsafeMutableRawBufferPointer {
    if start == end {
      start = 0
      end = 0
    } else if storage.count - end < 1 << 17 {
      storage.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[start..<end]))
      end -= start
      start = 0
    }
    return UnsafeMutableRawBufferPointer(rebasing: storage[end..<min(storage.count, end + Self.readLimit)])
  }
  /// Bytes that one read takes at most: more would be out of the cache again before the first of them are folded.
  private static let readLimit = 1 << 18

  /// The transport has written `count` bytes into `space()`.
  public mutating func commit(_ count: Int) { end = min(end + max(count, 0), storage.count) }

  /// The next complete frame, or nil when more bytes are needed.
  public mutating func next() throws(ProtocolError) -> Frame? {
    guard end - start >= Frame.headerCount else { return nil }
    let view = UnsafeRawBufferPointer(rebasing: storage[start..<end])
    let bodyCount = Int(view.bigEndian32(0))
    guard bodyCount <= Frame.bodyLimit else { throw .frameTooLong(bodyCount) }
    let count = Frame.headerCount + bodyCount
    guard view.count >= count else {
      // Room for the whole frame, and for reads that are not tiny.
      if storage.count - start < count { grow(to: count + (1 << 17)) }
      return nil
    }
    start += count
    position += UInt64(count)
    return Frame(
      type: view[4], connection: view.bigEndian64(8),
      body: UnsafeRawBufferPointer(rebasing: view[Frame.headerCount..<count]), end: position)
  }

  private mutating func grow(to capacity: Int) {
    let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: max(capacity, storage.count), alignment: 16)
    larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[start..<end]))
    storage.deallocate()
    storage = larger
    end -= start
    start = 0
  }
}
