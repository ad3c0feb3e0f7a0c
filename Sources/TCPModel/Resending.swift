/// A restored socket that sends again what its predecessor had sent.
///
/// Packets of the predecessor may still be under way when the peer is asked where it is. When they have arrived the peer
/// acknowledges more than the new socket has sent so far, and the kernel ignores every such segment whole (tcp_ack in
/// net/ipv4/tcp_input.c): nothing would move any more. So the socket is told less: that the peer has all that it has sent. It sends
/// on, and catches up with what the peer holds.
public struct Resending: Hashable, Sendable {
  /// The socket's snd_nxt, as far as its packets have been seen.
  public private(set) var sent: SequenceNumber
  /// The predecessor's snd_nxt.
  public let end: SequenceNumber

  /// - Returns: nil when there is nothing that has not been sent again.
  public init?(sent: SequenceNumber, end: SequenceNumber) {
    guard end.isAfter(sent) else { return nil }
    self.sent = sent
    self.end = end
  }

  /// The socket has sent everything below `end`.
  public func advanced(to end: SequenceNumber) -> Resending? {
    Resending(sent: .latest(sent, end), end: self.end)
  }

  /// What the socket is told instead of this; nil when it can be told as it is.
  public func substitute(for acknowledgement: SequenceNumber) -> SequenceNumber? {
    acknowledgement.isAfter(sent) && !acknowledgement.isAfter(end) ? sent : nil
  }
}

extension Segment {
  /// A copy of the packet that acknowledges something else, or the same; its TCP checksum is filled in.
  public func copy(of packet: UnsafeRawBufferPointer, acknowledging acknowledgement: SequenceNumber? = nil) -> [UInt8] {
    var copy = Array(packet)
    let field = headerOffset + 16
    copy.withUnsafeMutableBytes { bytes in
      if let acknowledgement {
        bytes.storeBytes(of: acknowledgement.rawValue.bigEndian, toByteOffset: headerOffset + 8, as: UInt32.self)
      }
      bytes.storeBytes(of: 0, toByteOffset: field, as: UInt16.self)
      let end = payloadOffset + payloadCount
      let sum = Checksum.sum(UnsafeRawBufferPointer(rebasing: bytes[headerOffset..<end]))
      let pseudo = Checksum.pseudoHeader(source.address, destination.address, count: end - headerOffset)
      bytes.storeBytes(of: Checksum.value(sum &+ pseudo).bigEndian, toByteOffset: field, as: UInt16.self)
    }
    return copy
  }
}
