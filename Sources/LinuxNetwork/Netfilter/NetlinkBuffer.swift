internal import CLinux
internal import CNetfilter
internal import Glibc

/// Netlink messages one after the other, in one piece of memory that is used again and again.
struct NetlinkBuffer: ~Copyable {
  private var memory: UnsafeMutableRawPointer
  private var capacity = 1 << 14
  private(set) var count = 0
  /// The sequence number of the next message. Questions count from 1.
  private(set) var sequence: UInt32 = 1 << 31

  init() { memory = .allocate(byteCount: capacity, alignment: 16) }

  deinit { memory.deallocate() }

  /// All that is to be sent.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: count) }

  mutating func removeAll() { count = 0 }

  /// Starts a message, with nfgenmsg and no attribute, that will have at most `room` bytes. What was given out before is void.
  mutating func open(
    _ subsystem: Int32, _ type: UInt32, flags: Int32, family: UInt8, room: Int
  ) -> UnsafeMutablePointer<nlmsghdr> {
    if capacity < count + room {
      capacity = 2 * capacity + room
      let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
      larger.copyMemory(from: memory, byteCount: count)
      memory.deallocate()
      memory = larger
    }
    let start = memory + count
    let header = start.bindMemory(to: nlmsghdr.self, capacity: 1)
    header.initialize(
      to: nlmsghdr(
        nlmsg_len: 20, nlmsg_type: UInt16(subsystem) << 8 | UInt16(type), nlmsg_flags: UInt16(NLM_F_REQUEST | flags),
        nlmsg_seq: sequence, nlmsg_pid: 0))
    start.storeBytes(of: 0, toByteOffset: 16, as: UInt32.self)
    start.storeBytes(of: family, toByteOffset: 16, as: UInt8.self)
    sequence &+= 1
    return header
  }

  mutating func close(_ header: UnsafeMutablePointer<nlmsghdr>) {
    count += Int(header.pointee.nlmsg_len + 3) & ~3
  }

  /// Asks the kernel to acknowledge the message that begins at byte `offset`.
  /// - Returns: its sequence number.
  func acknowledge(at offset: Int) -> UInt32 {
    let header = (memory + offset).assumingMemoryBound(to: nlmsghdr.self)
    header.pointee.nlmsg_flags |= UInt16(NLM_F_ACK)
    return header.pointee.nlmsg_seq
  }
}
