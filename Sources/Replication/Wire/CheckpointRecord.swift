public import TCPModel

/// The body of a checkpoint record: flags (1; bit 0 = has consumed, bit 1 = has produced), consumed (8), produced (8), then the
/// state. Big-endian.
extension Checkpoint {
  static let recordHeaderCount = 17

  public var encoded: [UInt8] {
    var writer = WireWriter()
    writer.number(UInt8((consumed != nil ? 1 : 0) | (produced != nil ? 2 : 0)))
    writer.number(consumed ?? 0)
    writer.number(produced ?? 0)
    writer.raw(state)
    return writer.bytes
  }

  public init(record body: UnsafeRawBufferPointer) throws(ProtocolError) {
    guard body.count <= Self.recordHeaderCount + Self.stateLimit else { throw .malformed(.checkpoint) }
    var reader = WireReader(body, of: .checkpoint)
    let flags: UInt8 = try reader.number()
    let consumed = try reader.streamOffset()
    let produced = try reader.streamOffset()
    self.init(
      state: try reader.bytes(reader.remaining), consumed: flags & 1 != 0 ? consumed : nil,
      produced: flags & 2 != 0 ? produced : nil)
  }
}

extension WireWriter {
  /// How many, oldest first; whether the first is covered; each as its record.
  mutating func checkpoints(_ checkpoints: CheckpointLedger) {
    flag(checkpoints.covered != nil)
    let all = (checkpoints.covered.map { [$0] } ?? []) + checkpoints.pending
    number(UInt8(all.count))
    for checkpoint in all { block(checkpoint.encoded) }
  }
}

extension WireReader {
  mutating func checkpoints() throws(ProtocolError) -> CheckpointLedger {
    let hasCovered = try flag()
    var all: [Checkpoint] = []
    for _ in 0..<(try number(UInt8.self)) {
      let record = try block()
      let view = record.span
      guard let checkpoint = view.withUnsafeBytes({ try? Checkpoint(record: $0) }) else { throw .malformed(.baseline) }
      all.append(checkpoint)
    }
    guard all.count <= CheckpointLedger.pendingLimit + 1, !hasCovered || !all.isEmpty else {
      throw .malformed(.baseline)
    }
    return CheckpointLedger(covered: hasCovered ? all.removeFirst() : nil, pending: all)
  }
}
