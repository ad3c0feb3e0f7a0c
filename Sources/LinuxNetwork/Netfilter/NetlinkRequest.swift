internal import CLinux
internal import CNetfilter
internal import Glibc

/// A question to a netfilter subsystem: nlmsghdr, nfgenmsg and attributes, together less than 2 kB.
struct NetlinkRequest {
  private var bytes: [UInt8]

  init(subsystem: Int32, type: UInt32, flags: Int32, sequence: UInt32, family: UInt8) {
    bytes = []
    append(UInt32(0))
    append(UInt16(subsystem) << 8 | UInt16(type))
    append(UInt16(NLM_F_REQUEST | flags))
    append(sequence)
    append(UInt32(0))
    bytes += [family, UInt8(NFNETLINK_V0), 0, 0]
  }

  /// A NUL-terminated text.
  mutating func put(_ type: Int, _ text: String) { put(type, Array(text.utf8) + [0]) }

  mutating func put(_ type: Int, _ value: [UInt8]) { bytes += Self.attribute(type, value) }

  /// An attribute with its header and what aligns it.
  static func attribute(_ type: Int, _ value: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    withUnsafeBytes(of: UInt16(value.count + 4)) { bytes += $0 }
    withUnsafeBytes(of: UInt16(type)) { bytes += $0 }
    bytes += value
    return bytes + [UInt8](repeating: 0, count: -value.count & 3)
  }

  private mutating func append(_ number: some FixedWidthInteger) { withUnsafeBytes(of: number) { bytes += $0 } }

  /// The message with its length.
  mutating func withBytes<Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    withUnsafeBytes(of: UInt32(bytes.count)) { bytes.replaceSubrange(0..<4, with: $0) }
    let message = bytes
    var result: Result<Void, Failure> = .success(())
    message.withUnsafeBytes { buffer in
      do throws(Failure) { try body(buffer) } catch { result = .failure(error) }
    }
    try result.get()
  }
}
