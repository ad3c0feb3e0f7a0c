internal import CLinux
internal import Glibc
internal import SystemPackage

/// Who is at the other end of a unix socket, as of the moment it connected (SO_PEERCRED).
public struct PeerCredentials: Hashable, Codable, Sendable {
  public let process: Int32
  public let user: UInt32
  public let group: UInt32

  public init(process: Int32, user: UInt32, group: UInt32) {
    self.process = process
    self.user = user
    self.group = group
  }

  public init(of socket: Int32) throws(SystemCallError) {
    // struct ucred: pid, uid, gid, 32 bits each.
    var values: (UInt32, UInt32, UInt32) = (0, 0, 0)
    var length = socklen_t(MemoryLayout.size(ofValue: values))
    try systemCall("getsockopt(SO_PEERCRED)") { getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &values, &length) }
    self.init(process: Int32(bitPattern: values.0), user: values.1, group: values.2)
  }
}

/// Stream sockets in the file system (unix(7)).
public enum UnixSocket {
  /// Connects to the socket at `path`; blocking. ENOENT and ECONNREFUSED mean that nobody listens there.
  public static func connect(to path: String) throws(SystemCallError) -> Descriptor {
    let socket = try make()
    let address = try address(of: path)
    try systemCall("connect", on: path) { address.with { Glibc.connect(socket.number, $0, $1) } }
    return socket
  }

  /// From now on reads and writes of this open file do not wait (O_NONBLOCK).
  public static func setNonblocking(_ socket: Int32) throws(SystemCallError) {
    let flags = try systemCall("fcntl(F_GETFL)") { hf_fcntl_int(socket, F_GETFL, 0) }
    try systemCall("fcntl(F_SETFL)") { hf_fcntl_int(socket, F_SETFL, flags | O_NONBLOCK) }
  }

  /// Blocking reads and writes fail with EAGAIN after so long without a byte (SO_RCVTIMEO, SO_SNDTIMEO).
  public static func setPatience(_ socket: Int32, milliseconds: Int) throws(SystemCallError) {
    var limit = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
    for (option, name) in [(SO_RCVTIMEO, "SO_RCVTIMEO"), (SO_SNDTIMEO, "SO_SNDTIMEO")] {
      try systemCall("setsockopt(\(name))") {
        setsockopt(socket, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
      }
    }
  }

  /// Ends both directions at once; both ends see the end of the stream (shutdown(2)).
  public static func shutDown(_ socket: Int32) { _ = shutdown(socket, Int32(SHUT_RDWR)) }

  /// Whether the other end has closed, so that nothing written here will be read (POLLHUP).
  public static func isHungUp(_ socket: Int32) -> Bool {
    var entry = pollfd(fd: socket, events: 0, revents: 0)
    return poll(&entry, 1, 0) > 0 && Int32(entry.revents) & (Int32(POLLHUP) | Int32(POLLERR)) != 0
  }

  /// Whether the other end has not read all that was written (SIOCOUTQ, unix(7)).
  public static func hasUnread(_ socket: Int32) -> Bool {
    var value: Int32 = 0
    return hf_ioctl_int(socket, UInt(HF_SIOCOUTQ), &value) == 0 && value > 0
  }

  static func make(nonblocking: Bool = false) throws(SystemCallError) -> Descriptor {
    let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | (nonblocking ? SOCK_NONBLOCK.rawValue : 0)
    return Descriptor(owning: try systemCall("socket(AF_UNIX)") { socket(AF_UNIX, Int32(type), 0) })
  }

  /// Throws ENAMETOOLONG above 107 bytes.
  static func address(of path: String) throws(SystemCallError) -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw SystemCallError("bind or connect", on: path, errno: .fileNameTooLong)
    }
    guard !bytes.isEmpty, !bytes.contains(0) else {
      throw SystemCallError("bind or connect", on: path, errno: .invalidArgument)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return address
  }
}

extension sockaddr_un {
  func with<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    withUnsafePointer(to: self) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }
}
