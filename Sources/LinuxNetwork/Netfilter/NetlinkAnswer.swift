internal import CLinux
internal import CNetfilter
internal import Glibc

/// One netlink message as it was received: nlmsghdr, nfgenmsg, attributes. Valid while the buffer is that it was read into.
struct NetlinkAnswer {
  private let bytes: UnsafeRawBufferPointer

  /// nlmsg_type
  var type: UInt16 { bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self) }
  /// nlmsg_flags
  var flags: UInt16 { bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self) }
  var sequence: UInt32 { bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self) }
  /// The address family: nfgen_family.
  var family: UInt8 { bytes.count > Self.header ? bytes[Self.header] : 0 }

  /// sizeof(struct nlmsghdr)
  private static let header = 16

  /// Hands every whole message of a datagram to `body`.
  static func each(of datagram: UnsafeRawBufferPointer, _ body: (NetlinkAnswer) -> Void) {
    var offset = 0
    while offset + header <= datagram.count {
      let length = Int(datagram.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      guard length >= header, offset + length <= datagram.count else { return }
      body(NetlinkAnswer(bytes: UnsafeRawBufferPointer(rebasing: datagram[offset..<offset + length])))
      offset += (length + 3) & ~3
    }
  }

  /// For NLMSG_ERROR and NLMSG_DONE: the errno, 0 for an acknowledgement, and the type of the message that it answers.
  var verdict: (code: Int32, type: UInt16)? {
    guard type == UInt16(NLMSG_ERROR), bytes.count >= 2 * Self.header + 4 else { return nil }
    return (
      -bytes.loadUnaligned(fromByteOffset: Self.header, as: Int32.self),
      bytes.loadUnaligned(fromByteOffset: Self.header + 8, as: UInt16.self)
    )
  }

  /// The attributes behind nfgenmsg.
  var attributes: NetlinkAttributes {
    NetlinkAttributes(UnsafeRawBufferPointer(rebasing: bytes.dropFirst(Self.header + 4)))
  }
}

/// The attributes of a message, or those inside of one.
struct NetlinkAttributes {
  private let bytes: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Hands each attribute's type and value to `body`.
  func each(_ body: (Int, UnsafeRawBufferPointer) -> Void) {
    var offset = 0
    while offset + 4 <= bytes.count {
      let length = Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
      guard length >= 4, offset + length <= bytes.count else { return }
      // Without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
      let type = Int(bytes.loadUnaligned(fromByteOffset: offset + 2, as: UInt16.self) & 0x3fff)
      body(type, UnsafeRawBufferPointer(rebasing: bytes[offset + 4..<offset + length]))
      offset += (length + 3) & ~3
    }
  }

  subscript(type: Int) -> UnsafeRawBufferPointer? {
    var found: UnsafeRawBufferPointer?
    each { if $0 == type, found == nil { found = $1 } }
    return found
  }

  /// A number in network order; nil when there is no such attribute of that length.
  func number<Number: FixedWidthInteger>(_ type: Int, as: Number.Type) -> Number? {
    guard let value = self[type], value.count == MemoryLayout<Number>.size else { return nil }
    return Number(bigEndian: value.loadUnaligned(as: Number.self))
  }

  /// A NUL-terminated text.
  func text(_ type: Int) -> String? {
    self[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  func nested(_ type: Int) -> NetlinkAttributes? { self[type].map(NetlinkAttributes.init) }
}
