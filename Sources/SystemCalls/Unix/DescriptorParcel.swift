internal import CLinux
internal import Glibc
internal import SystemPackage

/// Any number of descriptors behind one: they lie, in order, in the receive queue of a unix socket that has no other end any more.
///
/// What they refer to stays open for as long as the parcel is: the kernel counts descriptors on their way like any others. So
/// whoever keeps the one keeps them all.
public enum DescriptorParcel {
  /// - Throws: ETOOMANYREFS beyond RLIMIT_NOFILE; ENOBUFS beyond what the queue takes, some ten thousand.
  public static func pack(_ descriptors: [Int32]) throws(SystemCallError) -> Descriptor {
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    try systemCall("socketpair") { socketpair(AF_UNIX, kind, 0, &ends) }
    let parcel = Descriptor(owning: ends[0])
    let entrance = Descriptor(owning: ends[1])
    // The more it may queue, the better; where it may not, the default holds some ten thousand.
    var room: Int32 = 64 << 20
    _ = setsockopt(entrance.number, SOL_SOCKET, SO_SNDBUFFORCE, &room, socklen_t(MemoryLayout<Int32>.size))
    var rest = descriptors[...]
    while !rest.isEmpty {
      let some = Array(rest.prefix(DescriptorPassing.maximum))
      rest = rest.dropFirst(some.count)
      guard try DescriptorPassing.send([0], descriptors: some, over: entrance.number) != nil else {
        throw SystemCallError("sendmsg(\(descriptors.count) descriptors)", on: "parcel", errno: .noBufferSpace)
      }
    }
    return parcel
  }

  /// Takes everything out.
  public static func unpack(_ parcel: Int32) throws(DescriptorPassingError) -> ReceivedDescriptors {
    var descriptors = ReceivedDescriptors()
    let space = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 16)
    defer { space.deallocate() }
    while let count = try DescriptorPassing.receive(into: space, adding: &descriptors, over: parcel), count > 0 {}
    return descriptors
  }
}
