internal import TCPModel

/// Reads a frame's body front to back; every read checks that the bytes are there.
struct WireReader {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0
  private let type: FrameType

  init(_ bytes: UnsafeRawBufferPointer, of type: FrameType) {
    self.bytes = bytes
    self.type = type
  }

  var remaining: Int { bytes.count - offset }

  mutating func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) throws(ProtocolError) -> Number {
    let size = MemoryLayout<Number>.size
    guard remaining >= size else { throw .malformed(type) }
    defer { offset += size }
    return Number(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
  }

  mutating func flag() throws(ProtocolError) -> Bool { try number(UInt8.self) != 0 }

  mutating func sequence() throws(ProtocolError) -> SequenceNumber { SequenceNumber(try number()) }

  /// The stream offsets that there can be, bytes: to far beyond what a connection lives to see. Nothing that is added to one
  /// overflows.
  static let offsets = 0...Int64(1) << 62

  mutating func streamOffset() throws(ProtocolError) -> Int64 {
    let offset: Int64 = try number()
    guard Self.offsets.contains(offset) else { throw .malformed(type) }
    return offset
  }

  mutating func bytes(_ count: Int) throws(ProtocolError) -> [UInt8] {
    guard count >= 0, remaining >= count else { throw .malformed(type) }
    defer { offset += count }
    return [UInt8](bytes[offset..<offset + count])
  }

  /// A 32-bit length and so many bytes.
  mutating func block() throws(ProtocolError) -> [UInt8] { try bytes(Int(try number(UInt32.self))) }

  mutating func text() throws(ProtocolError) -> String {
    guard let text = String(validating: try block(), as: UTF8.self) else { throw .malformed(type) }
    return text
  }
}

/// Writes a frame's body.
struct WireWriter {
  private(set) var bytes: [UInt8] = []

  mutating func number(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }
  mutating func flag(_ value: Bool) { bytes.append(value ? 1 : 0) }
  mutating func sequence(_ value: SequenceNumber) { number(value.rawValue) }
  mutating func raw(_ value: [UInt8]) { bytes.append(contentsOf: value) }
  mutating func block(_ value: some Collection<UInt8>) {
    number(UInt32(value.count))
    bytes.append(contentsOf: value)
  }
  mutating func text(_ value: String) { block(value.utf8) }
}
