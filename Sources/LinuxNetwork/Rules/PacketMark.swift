/// The bits of a socket's mark (SO_MARK, socket(7)) that say that its packets go through a pair's queues. Other bits belong to
/// others (policy routing, filters) and stay as they are.
public struct PacketMark: Hashable, Sendable {
  /// The bits as they are set; within `mask`.
  public let value: UInt32
  public let mask: UInt32

  public init(value: UInt32, mask: UInt32) {
    self.value = value & mask
    self.mask = mask
  }

  /// `mark` with these bits set and the others as they are.
  func added(to mark: UInt32) -> UInt32 { mark & ~mask | value }

  /// Marks a socket: from now on every packet that it sends or receives matches the rules. Needs CAP_NET_ADMIN.
  public func set(on socket: Int32) throws(SystemCallError) { try change(socket, to: value) }

  /// Takes the mark off: its packets pass as any other's.
  public func clear(on socket: Int32) throws(SystemCallError) { try change(socket, to: 0) }

  private func change(_ socket: Int32, to bits: UInt32) throws(SystemCallError) {
    let current = UInt32(bitPattern: try SocketOption.mark.get(socket))
    let new = current & ~mask | bits
    if new != current { try SocketOption.mark.set(socket, Int32(bitPattern: new)) }
  }
}
