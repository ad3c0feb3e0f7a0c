internal import CLinux
internal import CNetfilter
internal import Glibc
internal import SystemCalls
internal import SystemPackage

/// A netlink socket for the subsystems of netfilter. Nothing here waits: the kernel answers while a message is being sent.
final class NetfilterSocket {
  private let socket: Descriptor
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 17, alignment: 16)
  private var sequence: UInt32 = 1
  /// The socket's own address: what the kernel calls the author of a change (nlmsg_pid).
  let port: UInt32

  init() throws(SystemCallError) {
    socket = Descriptor(
      owning: try systemCall("socket(NETLINK_NETFILTER)") {
        Glibc.socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), NETLINK_NETFILTER)
      })
    let number = socket.number
    var address = sockaddr_nl()
    address.nl_family = sa_family_t(AF_NETLINK)
    var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
    try withUnsafeMutablePointer(to: &address) { pointer throws(SystemCallError) in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic throws(SystemCallError) in
        try systemCall("bind(NETLINK_NETFILTER)") { bind(number, generic, length) }
        try systemCall("getsockname(NETLINK_NETFILTER)") { getsockname(number, generic, &length) }
      }
    }
    port = address.nl_pid
    // An error is answered with the header of its message, not with all of it.
    try set(SOL_NETLINK, NETLINK_CAP_ACK, 1, "NETLINK_CAP_ACK")
  }

  deinit { buffer.deallocate() }

  var number: Int32 { socket.number }

  func set(_ level: Int32, _ option: Int32, _ value: Int32, _ name: String) throws(SystemCallError) {
    var value = value
    let number = socket.number
    try systemCall("setsockopt(\(name))") {
      setsockopt(number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
  }

  /// Sequence numbers for `count` messages, one after the other; the first of them.
  func nextSequence(_ count: UInt32 = 1) -> UInt32 {
    defer { sequence &+= count }
    return sequence
  }

  /// Makes room for one message of so many bytes, and for as many answers. Needs CAP_NET_ADMIN; without it the limits stay.
  func makeRoom(_ bytes: Int) {
    let size = Int32(clamping: bytes)
    try? set(SOL_SOCKET, SO_SNDBUFFORCE, size, "SO_SNDBUFFORCE")
    try? set(SOL_SOCKET, SO_RCVBUFFORCE, size, "SO_RCVBUFFORCE")
  }

  /// Sends one datagram; when this returns the kernel has dealt with it.
  func send(_ bytes: UnsafeRawBufferPointer) throws(SystemCallError) {
    let number = socket.number
    do throws(SystemCallError) {
      try systemCall("sendto(NETLINK_NETFILTER)") { Glibc.send(number, bytes.baseAddress, bytes.count, 0) }
    } catch  where error.errno == Errno(rawValue: EMSGSIZE) {
      // The buffer that SO_SNDBUF names holds the message and the kernel's own data about it.
      makeRoom(2 * bytes.count)
      try systemCall("sendto(NETLINK_NETFILTER)") { Glibc.send(number, bytes.baseAddress, bytes.count, 0) }
    }
  }

  enum Reception {
    case messages
    case nothing
    /// ENOBUFS: something was lost.
    case overrun
  }

  /// Hands the messages of one datagram to `body`, if one waits.
  func receive(_ body: (NetlinkAnswer) -> Void) throws(SystemCallError) -> Reception {
    let number = socket.number
    do throws(SystemCallError) {
      guard
        let count = try nonblockingCall(
          "recv(NETLINK_NETFILTER)", { recv(number, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT)) })
      else { return .nothing }
      NetlinkAnswer.each(of: UnsafeRawBufferPointer(rebasing: buffer[..<count]), body)
      return .messages
    } catch  where error.errno == Errno(rawValue: ENOBUFS) {
      return .overrun
    }
  }
}
