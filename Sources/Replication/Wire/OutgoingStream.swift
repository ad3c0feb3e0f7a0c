public import TCPModel

/// The bytes of one direction of a replication channel that have been produced and not yet taken by the transport.
///
/// Whoever moves bytes (a socket, TLS) takes them from `pieces`; nothing here knows which.
///
/// Payload may be lent instead of copied: it is sent from where the packet lies. What has not been sent when that memory is needed
/// again is taken over by `settle`.
public struct OutgoingStream: ~Copyable {
  private var storage: UnsafeMutableRawBufferPointer
  private var start = 0
  private var end = 0
  /// Payload of others' memory, and before which byte of `storage` it belongs; in order.
  private var lent: [(at: Int, bytes: UnsafeRawBufferPointer)] = []
  private var lentHead = 0
  private var lentCount = 0
  /// Less than this is cheaper to copy than to send separately.
  private static let lendingThreshold = 1024
  /// Bytes appended since the stream began: the position that the other side acknowledges.
  public private(set) var position: UInt64

  /// - Parameter position: where counting starts; the other side is told in the hello.
  public init(position: UInt64 = 0) {
    storage = .allocate(byteCount: 1 << 18, alignment: 16)
    self.position = position
  }

  deinit { storage.deallocate() }

  public var unsentCount: Int { end - start + lentCount }

  /// What is to be sent next, in order and as it lies in memory: all of it, up to 64 pieces.
  public func pieces(into pieces: inout [UnsafeRawBufferPointer]) {
    pieces.removeAll(keepingCapacity: true)
    var offset = start
    var index = lentHead
    while pieces.count < 63, index < lent.count {
      let (at, bytes) = lent[index]
      if offset < at { pieces.append(UnsafeRawBufferPointer(rebasing: storage[offset..<at])) }
      pieces.append(bytes)
      offset = at
      index += 1
    }
    if index == lent.count, offset < end { pieces.append(UnsafeRawBufferPointer(rebasing: storage[offset..<end])) }
  }

  /// The transport has taken the first `count` unsent bytes.
  public mutating func consume(_ count: Int) {
    var rest = min(max(count, 0), unsentCount)
    while rest > 0 {
      let owned = min(rest, (lentHead < lent.count ? lent[lentHead].at : end) - start)
      start += owned
      rest -= owned
      guard rest > 0, lentHead < lent.count else { continue }
      let bytes = lent[lentHead].bytes
      let taken = min(rest, bytes.count)
      rest -= taken
      lentCount -= taken
      if taken == bytes.count {
        lentHead += 1
      } else {
        lent[lentHead].bytes = UnsafeRawBufferPointer(rebasing: bytes[taken...])
      }
    }
    if unsentCount == 0 { discard() }
  }

  /// Drops what was not sent: the channel it was meant for is gone. Positions go on counting.
  public mutating func discard() {
    start = 0
    end = 0
    lent.removeAll(keepingCapacity: true)
    lentHead = 0
    lentCount = 0
  }

  /// Copies what was lent and is not sent yet: from here on the lender may use the memory again.
  public mutating func settle() {
    guard lentHead < lent.count else { return }
    let first = lent[lentHead].at
    // Only what lies behind the first lent piece moves: the frame headers of one batch of packets.
    let moving = [UInt8](UnsafeRawBufferPointer(rebasing: storage[first..<end]))
    let pieces = lent[lentHead...]
    lent = []
    lentHead = 0
    let total = moving.count + lentCount
    lentCount = 0
    let offset = first - start
    end = first
    if end + total > storage.count { makeRoom(for: total) }
    end = start + offset
    var taken = 0
    for (at, bytes) in pieces {
      moving.withUnsafeBytes { copyIn(UnsafeRawBufferPointer(rebasing: $0[taken..<at - first])) }
      taken = at - first
      copyIn(bytes)
    }
    moving.withUnsafeBytes { copyIn(UnsafeRawBufferPointer(rebasing: $0[taken...])) }
  }

  /// There is room.
  private mutating func copyIn(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count > 0 else { return }
    UnsafeMutableRawBufferPointer(rebasing: storage[end...]).copyMemory(from: bytes)
    end += bytes.count
  }

  public mutating func append(_ type: FrameType, connection: UInt64 = 0, body: [UInt8] = []) {
    append(type, connection: connection, body: body[...])
  }

  public mutating func append(_ type: FrameType, connection: UInt64, body: ArraySlice<UInt8>) {
    let target = reserve(body.count, type, connection)
    body.withUnsafeBytes { target.copyMemory(from: $0) }
  }

  public mutating func appendNumber(_ type: FrameType, connection: UInt64 = 0, _ number: UInt64) {
    reserve(8, type, connection).storeBigEndian(number, at: 0)
  }

  /// The hot path: an ingress or egress record, 20 bytes and the payload.
  /// - Parameter lending: the payload stays as it is until `settle` has been called.
  public mutating func appendSegment(
    _ type: FrameType, connection: UInt64, _ header: SegmentHeader, _ payload: UnsafeRawBufferPointer,
    lending: Bool = false
  ) {
    if lending, payload.count >= Self.lendingThreshold {
      let target = reserve(SegmentRecord.headerCount, type, connection, elsewhere: payload.count)
      SegmentRecord.write(header, to: target)
      lent.append((end, payload))
      lentCount += payload.count
      return
    }
    let target = reserve(SegmentRecord.headerCount + payload.count, type, connection)
    SegmentRecord.write(header, to: target)
    if payload.count > 0 {
      UnsafeMutableRawBufferPointer(rebasing: target[SegmentRecord.headerCount...]).copyMemory(from: payload)
    }
  }

  /// Makes room for a frame, writes its header, and returns where the body goes.
  /// - Parameter elsewhere: bytes of the body that are lent.
  private mutating func reserve(_ bodyCount: Int, _ type: FrameType, _ connection: UInt64, elsewhere: Int = 0)
    -> UnsafeMutableRawBufferPointer
  {
    let count = Frame.headerCount + bodyCount
    if end + count > storage.count { makeRoom(for: count) }
    let frame = UnsafeMutableRawBufferPointer(rebasing: storage[end..<end + count])
    frame.storeBigEndian(UInt32(bodyCount + elsewhere), at: 0)
    frame.storeBigEndian(UInt32(type.rawValue) << 24, at: 4)
    frame.storeBigEndian(connection, at: 8)
    end += count
    position += UInt64(count + elsewhere)
    return UnsafeMutableRawBufferPointer(rebasing: frame[Frame.headerCount...])
  }

  private mutating func makeRoom(for count: Int) {
    let used = end - start
    var capacity = storage.count
    while capacity < 2 * (used + count) { capacity <<= 1 }
    let owned = UnsafeRawBufferPointer(rebasing: storage[start..<end])
    for index in lent.indices { lent[index].at -= start }
    if capacity == storage.count {
      storage.copyMemory(from: owned)  // memmove: the ranges may overlap
    } else {
      let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
      larger.copyMemory(from: owned)
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
