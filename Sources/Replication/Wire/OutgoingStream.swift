public import TCPModel

/// The bytes of one direction of a replication channel that have been produced and not yet taken by the transport.
///
/// Whoever moves bytes (a socket, TLS) takes them from `unsent`; nothing here knows which.
public struct OutgoingStream: ~Copyable {
  private var storage: UnsafeMutableRawBufferPointer
  private var start = 0
  private var end = 0
  /// Bytes appended since the stream began: the position that the other side acknowledges.
  public private(set) var position: UInt64

  /// - Parameter position: where counting starts; the other side is told in the hello.
  public init(position: UInt64 = 0) {
    storage = .allocate(byteCount: 1 << 18, alignment: 16)
    self.position = position
  }

  deinit { storage.deallocate() }

  public var unsentCount: Int { end - start }
  public var unsent: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[start..<end]) }

  /// The transport has taken the first `count` unsent bytes.
  public mutating func consume(_ count: Int) {
    start = min(start + max(count, 0), end)
    if start == end {
      start = 0
      end = 0
    }
  }

  /// Drops what was not sent: the channel it was meant for is gone. Positions go on counting.
  public mutating func discard() {
    start = 0
    end = 0
  }

  public mutating func append(_ type: FrameType, connection: UInt64 = 0, body: [UInt8] = []) {
    let target = reserve(body.count, type, connection)
    body.withUnsafeBytes { target.copyMemory(from: $0) }
  }

  public mutating func appendNumber(_ type: FrameType, connection: UInt64 = 0, _ number: UInt64) {
    reserve(8, type, connection).storeBigEndian(number, at: 0)
  }

  /// The hot path: an ingress or egress record, 20 bytes and the payload.
  public mutating func appendSegment(
    _ type: FrameType, connection: UInt64, _ header: SegmentHeader, _ payload: UnsafeRawBufferPointer
  ) {
    let target = reserve(SegmentRecord.headerCount + payload.count, type, connection)
    SegmentRecord.write(header, to: target)
    if payload.count > 0 {
      UnsafeMutableRawBufferPointer(rebasing: target[SegmentRecord.headerCount...]).copyMemory(from: payload)
    }
  }

  /// Makes room for a frame, writes its header, and returns where the body goes.
  private mutating func reserve(_ bodyCount: Int, _ type: FrameType, _ connection: UInt64)
    -> UnsafeMutableRawBufferPointer
  {
    let count = Frame.headerCount + bodyCount
    if end + count > storage.count { makeRoom(for: count) }
    let frame = UnsafeMutableRawBufferPointer(rebasing: storage[end..<end + count])
    frame.storeBigEndian(UInt32(bodyCount), at: 0)
    frame.storeBigEndian(UInt32(type.rawValue) << 24, at: 4)
    frame.storeBigEndian(connection, at: 8)
    end += count
    position += UInt64(count)
    return UnsafeMutableRawBufferPointer(rebasing: frame[Frame.headerCount...])
  }

  private mutating func makeRoom(for count: Int) {
    let used = end - start
    var capacity = storage.count
    while capacity < 2 * (used + count) { capacity <<= 1 }
    if capacity == storage.count {
      storage.copyMemory(from: unsent)  // memmove: the ranges may overlap
    } else {
      let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
      larger.copyMemory(from: unsent)
      storage.deallocate()
      storage = larger
    }
    start = 0
    end = used
  }
}

extension UnsafeMutableRawBufferPointer {
  @inlinable @inline(__always) func storeBigEndian(_ value: some FixedWidthInteger, at offset: Int) {
    storeBytes(of: value.bigEndian, toByteOffset: offset, as: type(of: value).self)
  }
}
