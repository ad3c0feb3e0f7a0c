/// The few segments that are written by hand: questions to a peer, and what a peer would have said to a socket that is being
/// restored.
public enum SegmentBuilder {
  /// Asks the peer where it is: an acknowledgement with a sequence number below the window, which the peer must answer with its
  /// own position (RFC 9293 section 3.10.7.4). It is also the acknowledgement that a dead host may have owed.
  /// - Parameter now: nanoseconds on this host's CLOCK_MONOTONIC.
  public static func probe(for ledger: Ledger, now: UInt64) -> IPPacket {
    let scale = UInt32(ledger.negotiated.receiveWindowScale)
    let window = max(ledger.offeredEdge.distance(from: ledger.input.rcvNxt), 0) >> Int(scale)
    return packet(
      from: ledger.flow.local, to: ledger.flow.peer,
      SegmentHeader(
        sequence: ledger.output.sndUna - 1, acknowledgement: ledger.input.rcvNxt,
        window: UInt16(clamping: window), flags: .ack, hasTimestamp: ledger.negotiated.timestampUnit != .none,
        timestampValue: ledger.timestamp.restored(at: now), timestampEcho: ledger.peerTimestamp))
  }

  /// Ends a connection at the peer. Only the exact sequence number does it at once (RFC 5961 section 3.2); at another one inside
  /// its window the peer asks back, and the kernel answers that with the exact one.
  public static func reset(for ledger: Ledger) -> IPPacket {
    packet(
      from: ledger.flow.local, to: ledger.flow.peer,
      SegmentHeader(
        sequence: ledger.output.sndNxt, acknowledgement: ledger.input.rcvNxt, window: 0, flags: [.rst, .ack]))
  }

  /// The peer's FIN once more, for a socket that is being restored behind it.
  /// - Parameter acknowledgingFin: whether it acknowledges our own FIN too.
  public static func peerFin(for state: ConnectionState, acknowledgingFin: Bool) -> IPPacket {
    fromPeer(
      state, sequence: state.rcvNxt - 1, acknowledgement: acknowledgingFin ? state.sndNxt : state.sndUna,
      flags: [.fin, .ack])
  }

  /// The peer's acknowledgement of everything that was sent, our FIN included.
  public static func peerAcknowledgement(for state: ConnectionState) -> IPPacket {
    fromPeer(state, sequence: state.rcvNxt, acknowledgement: state.sndNxt, flags: .ack)
  }

  /// What the peer has sent and no acknowledgement covers yet, once more, for a socket that is restored before it: as if the network
  /// had been late with it. The kernel takes it or not, as it would have taken the peer's own packets.
  /// - Parameter bytes: from the ledger, `InputLedger.unproven`.
  public static func unacknowledgedInput(_ bytes: [UInt8], for state: ConnectionState) -> [IPPacket] {
    stride(from: 0, to: bytes.count, by: largestPayload).map { start in
      fromPeer(
        state, sequence: state.rcvNxt + start, acknowledgement: state.sndUna, flags: .ack,
        bytes[start..<min(start + largestPayload, bytes.count)])
    }
  }
  /// Bytes: less than the loopback interface's MTU.
  static let largestPayload = 32 << 10

  /// The window is the peer's own last one: a wrong one here would be believed.
  private static func fromPeer(
    _ state: ConnectionState, sequence: SequenceNumber, acknowledgement: SequenceNumber, flags: SegmentHeader.Flags,
    _ payload: ArraySlice<UInt8> = []
  ) -> IPPacket {
    packet(
      from: state.flow.peer, to: state.flow.local,
      SegmentHeader(
        sequence: sequence, acknowledgement: acknowledgement,
        window: UInt16(clamping: state.window.sendWindow >> UInt32(state.negotiated.sendWindowScale)), flags: flags),
      payload)
  }

  /// A segment from the first byte of its IP header on.
  static func packet(
    from source: Endpoint, to destination: Endpoint, _ header: SegmentHeader, _ payload: ArraySlice<UInt8> = []
  ) -> IPPacket {
    var tcp: [UInt8] = []
    tcp.append(bigEndian: source.port)
    tcp.append(bigEndian: destination.port)
    tcp.append(bigEndian: header.sequence.rawValue)
    tcp.append(bigEndian: header.acknowledgement.rawValue)
    tcp.append(header.hasTimestamp ? 0x80 : 0x50)
    tcp.append(header.flags.rawValue)
    tcp.append(bigEndian: header.window)
    tcp.append(bigEndian: UInt32(0))
    if header.hasTimestamp {
      tcp.append(bigEndian: UInt32(0x0101_080a))
      tcp.append(bigEndian: header.timestampValue)
      tcp.append(bigEndian: header.timestampEcho)
    }
    tcp += payload
    let sum = tcp.withUnsafeBytes { Checksum.sum($0) }
    let pseudo = Checksum.pseudoHeader(source.address, destination.address, count: tcp.count)
    let checksum = Checksum.value(sum &+ pseudo)
    tcp[16] = UInt8(truncatingIfNeeded: checksum >> 8)
    tcp[17] = UInt8(truncatingIfNeeded: checksum)
    return IPPacket(
      source: source.address, destination: destination.address,
      bytes: ipHeader(source.address, destination.address, count: tcp.count) + tcp)
  }

  private static func ipHeader(_ source: IPAddress, _ destination: IPAddress, count: Int) -> [UInt8] {
    var header: [UInt8] = []
    if source.isIPv6 {
      // Version 6, no flow label; hop limit 64.
      header.append(bigEndian: UInt32(0x6000_0000))
      header.append(bigEndian: UInt16(truncatingIfNeeded: count))
      header += [6, 64]
      return header + source.bytes + destination.bytes
    }
    header += [0x45, 0]
    header.append(bigEndian: UInt16(truncatingIfNeeded: 20 + count))
    // No identification: the segment may not be fragmented (RFC 6864). TTL 64, TCP, checksum to come.
    header += [0, 0, 0x40, 0, 64, 6, 0, 0]
    header += source.bytes + destination.bytes
    let checksum = Checksum.value(header.withUnsafeBytes { Checksum.sum($0) })
    header[10] = UInt8(truncatingIfNeeded: checksum >> 8)
    header[11] = UInt8(truncatingIfNeeded: checksum)
    return header
  }
}

/// A whole IP packet, ready for a raw socket.
public struct IPPacket: Hashable, Sendable {
  public let source: IPAddress
  public let destination: IPAddress
  public let bytes: [UInt8]

  package init(source: IPAddress, destination: IPAddress, bytes: [UInt8]) {
    self.source = source
    self.destination = destination
    self.bytes = bytes
  }
}

extension [UInt8] {
  mutating func append<Number: FixedWidthInteger>(bigEndian number: Number) {
    Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
  }
}
