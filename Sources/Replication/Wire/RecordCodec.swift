internal import TCPModel

/// A record's frame: its type says which record, its body holds the rest.
extension OutgoingStream {
  /// - Parameter lending: a packet's payload stays as it is until `settle` has been called.
  @inline(__always)
  mutating func append(_ record: Record, of connection: UInt64, lending: Bool) {
    switch record {
    case .ingress(let header, let payload):
      appendSegment(.ingress, connection: connection, header, payload, lending: lending)
    case .egress(let header, let payload, _):
      appendSegment(.egress, connection: connection, header, payload, lending: lending)
    case .consumed(let sequence): appendNumber(.consumed, connection: connection, UInt64(sequence.rawValue))
    case .confirmed(let offset): appendNumber(.confirm, connection: connection, UInt64(bitPattern: offset))
    case .checkpoint(let checkpoint): append(.checkpoint, connection: connection, body: checkpoint.encoded)
    case .options(let options): append(.options, connection: connection, body: options.encoded)
    }
  }
}

extension Record {
  /// - Parameter now: this host's CLOCK_MONOTONIC, ns.
  /// - Returns: nil for a frame of another kind.
  @inline(__always)
  init?(_ frame: Frame, of type: FrameType, now: UInt64) throws(ProtocolError) {
    switch type {
    case .ingress, .egress:
      guard let (header, payload) = SegmentRecord.read(frame.body) else { throw .malformed(type) }
      self = type == .ingress ? .ingress(header, payload) : .egress(header, payload, at: now)
    case .consumed: self = .consumed(SequenceNumber(UInt32(truncatingIfNeeded: try frame.number(type))))
    case .confirm:
      let offset = Int64(bitPattern: try frame.number(type))
      guard WireReader.offsets.contains(offset) else { throw .malformed(type) }
      self = .confirmed(offset)
    case .checkpoint: self = .checkpoint(try Checkpoint(record: frame.body))
    case .options: self = .options(try SocketOptions(frame.body))
    case .hello, .refuse, .baseline, .baselinePart, .release, .syncBegin, .syncEnd, .acknowledge, .goodbye: return nil
    }
  }

  /// Whether the active host may hold a packet, or an application's answer, until this is acknowledged.
  @inline(__always)
  var isAwaited: Bool {
    switch self {
    case .ingress, .consumed: false
    case .egress, .confirmed, .checkpoint, .options: true
    }
  }
}

extension Frame {
  /// A body of eight bytes.
  func number(_ type: FrameType) throws(ProtocolError) -> UInt64 {
    guard body.count >= 8 else { throw .malformed(type) }
    return body.bigEndian64(0)
  }
}
