extension Segment {
  /// Finds the TCP segment in an IP packet. Every length is checked against the bytes that are there: the packet may come
  /// from anyone.
  ///
  /// IPv4 (RFC 791) with options, IPv6 (RFC 8200) with hop-by-hop, routing, destination and authentication headers. Bytes
  /// after the IP length (link-layer padding) are not payload.
  /// - Parameter packet: from the first byte of the IP header on.
  @inlinable
  public static func parse(_ packet: UnsafeRawBufferPointer) throws(SegmentError) -> Segment {
    guard packet.count >= 20 else { throw .truncated }
    switch packet[0] >> 4 {
    case 4:
      let headerCount = Int(packet[0] & 0x0f) * 4
      let total = Int(packet.bigEndian16(2))
      guard headerCount >= 20 else { throw .malformed }
      guard total >= headerCount, total <= packet.count else { throw .truncated }
      // More fragments, or a fragment offset.
      guard packet.bigEndian16(6) & 0x3fff == 0 else { throw .fragment }
      guard packet[9] == 6 else { throw .notTCP }
      return try tcp(
        packet, at: headerCount, end: total, source: IPAddress(v4: packet.bigEndian32(12)),
        destination: IPAddress(v4: packet.bigEndian32(16)))
    case 6:
      guard packet.count >= 40 else { throw .truncated }
      let total = 40 + Int(packet.bigEndian16(4))
      guard total <= packet.count else { throw .truncated }
      let offset = try tcpOffset(inIPv6: packet, end: total)
      return try tcp(
        packet, at: offset, end: total,
        source: IPAddress(v6High: packet.bigEndian64(8), low: packet.bigEndian64(16)),
        destination: IPAddress(v6High: packet.bigEndian64(24), low: packet.bigEndian64(32)))
    default: throw .notIP
    }
  }

  /// Walks the extension headers (RFC 8200 section 4) up to the TCP header.
  @inlinable
  static func tcpOffset(inIPv6 packet: UnsafeRawBufferPointer, end: Int) throws(SegmentError) -> Int {
    var next = packet[6]
    var offset = 40
    while next != 6 {
      guard offset + 8 <= end else { throw .truncated }
      switch next {
      // Hop-by-hop options, routing, destination options: length in 8-byte units, the first not counted.
      case 0, 43, 60:
        next = packet[offset]
        offset += (Int(packet[offset + 1]) + 1) * 8
      // Authentication header (RFC 4302): length in 4-byte units minus 2.
      case 51:
        next = packet[offset]
        offset += (Int(packet[offset + 1]) + 2) * 4
      case 44: throw .fragment
      default: throw .notTCP
      }
    }
    return offset
  }

  @inlinable
  static func tcp(
    _ packet: UnsafeRawBufferPointer, at start: Int, end: Int, source: IPAddress, destination: IPAddress
  ) throws(SegmentError) -> Segment {
    guard start + 20 <= end else { throw .truncated }
    let headerCount = Int(packet[start + 12] >> 4) * 4
    guard headerCount >= 20 else { throw .malformed }
    guard start + headerCount <= end else { throw .truncated }
    var segment = Segment(
      source: Endpoint(address: source, port: packet.bigEndian16(start)),
      destination: Endpoint(address: destination, port: packet.bigEndian16(start + 2)),
      header: SegmentHeader(
        sequence: SequenceNumber(packet.bigEndian32(start + 4)),
        acknowledgement: SequenceNumber(packet.bigEndian32(start + 8)), window: packet.bigEndian16(start + 14),
        flags: SegmentHeader.Flags(rawValue: packet[start + 13] & 0x3f)),
      headerOffset: start, payloadOffset: start + headerCount, payloadCount: end - start - headerCount)
    segment.readOptions(packet, from: start + 20, to: start + headerCount)
    return segment
  }

  @usableFromInline
  init(
    source: Endpoint, destination: Endpoint, header: SegmentHeader, headerOffset: Int, payloadOffset: Int,
    payloadCount: Int
  ) {
    self.source = source
    self.destination = destination
    self.header = header
    self.headerOffset = headerOffset
    self.payloadOffset = payloadOffset
    self.payloadCount = payloadCount
  }

  /// Options that do not parse end the list, as in the kernel (tcp_parse_options): they are not a reason to drop a segment
  /// that the kernel will take.
  @inlinable
  mutating func readOptions(_ packet: UnsafeRawBufferPointer, from start: Int, to end: Int) {
    // NOP NOP TIMESTAMP alone is what nearly every packet carries.
    if end - start == 12, packet.bigEndian32(start) == 0x0101_080a {
      header.hasTimestamp = true
      header.timestampValue = packet.bigEndian32(start + 4)
      header.timestampEcho = packet.bigEndian32(start + 8)
      return
    }
    var offset = start
    while offset < end {
      let kind = packet[offset]
      if kind == 0 { return }
      if kind == 1 {
        offset += 1
        continue
      }
      guard offset + 2 <= end else { return }
      let count = Int(packet[offset + 1])
      guard count >= 2, offset + count <= end else { return }
      switch kind {
      case 8 where count == 10:
        header.hasTimestamp = true
        header.timestampValue = packet.bigEndian32(offset + 2)
        header.timestampEcho = packet.bigEndian32(offset + 6)
      case 5 where count >= 10 && (count - 2) % 8 == 0:
        for block in stride(from: offset + 2, to: offset + count, by: 8) {
          let blockEnd = SequenceNumber(packet.bigEndian32(block + 4))
          guard blockEnd.isAfter(header.acknowledgement) else { continue }
          highestSelectiveAcknowledgement = highestSelectiveAcknowledgement.map { .latest($0, blockEnd) } ?? blockEnd
        }
      default: break
      }
      offset += count
    }
  }
}

extension UnsafeRawBufferPointer {
  /// Big-endian loads. Bounds are checked: `rebasing` a slice and unaligned loads trap outside, so callers check first.
  @inlinable @inline(__always) public func bigEndian16(_ offset: Int) -> UInt16 {
    UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  @inlinable @inline(__always) public func bigEndian32(_ offset: Int) -> UInt32 {
    UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
  @inlinable @inline(__always) public func bigEndian64(_ offset: Int) -> UInt64 {
    UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
