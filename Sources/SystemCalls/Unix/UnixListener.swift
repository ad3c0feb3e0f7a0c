internal import CLinux
internal import Glibc
internal import SystemPackage

/// Why a unix socket could not be opened for listening.
public enum UnixListenerError: Error, Hashable, Sendable, CustomStringConvertible {
  case system(SystemCallError)
  /// Another process answers there.
  case inUse(path: String)
  /// Something that is not a socket has the name.
  case notASocket(path: String)
  case noSuchGroup(String)

  public var description: String {
    switch self {
    case .system(let error): "\(error)"
    case .inUse(let path): "\(path) is in use: another daemon is running; stop it, or give this one another path"
    case .notASocket(let path): "\(path) exists and is not a socket: move it away, or choose another path"
    case .noSuchGroup(let name): "there is no group \"\(name)\""
    }
  }
}

/// A listening, non-blocking unix stream socket. Its file goes when it ends.
public final class UnixListener {
  private let socket: Descriptor
  private let path: String
  private let file: (device: UInt64, node: UInt64)

  /// - Parameters:
  ///   - mode: permission bits of the socket's file: who may write to it may connect.
  ///   - group: name or number of the group that the file is given to; nil leaves it.
  public init(path: String, mode: UInt32, group: String? = nil) throws(UnixListenerError) {
    let groupNumber = try group.map { (name) throws(UnixListenerError) in try Self.groupNumber(of: name) }
    try Self.clearTheWay(path)
    do throws(SystemCallError) {
      socket = try UnixSocket.make(nonblocking: true)
      let number = socket.number
      self.path = path
      let address = try UnixSocket.address(of: path)
      // The socket's own mode becomes its file's: nobody else sees the file before it has its owner and its final mode.
      try systemCall("fchmod", on: path) { fchmod(number, 0o600) }
      try systemCall("bind", on: path) { address.with { bind(number, $0, $1) } }
      var status = stat()
      try systemCall("lstat", on: path) { lstat(path, &status) }
      file = (UInt64(status.st_dev), UInt64(status.st_ino))
      if let groupNumber { try systemCall("chown", on: path) { chown(path, uid_t.max, groupNumber) } }
      try systemCall("chmod", on: path) { chmod(path, mode_t(mode)) }
      try systemCall("listen", on: path) { listen(number, SOMAXCONN) }
    } catch {
      throw .system(error)
    }
  }

  deinit {
    var status = stat()
    guard lstat(path, &status) == 0, UInt64(status.st_dev) == file.device, UInt64(status.st_ino) == file.node else {
      return
    }
    _ = unlink(path)
  }

  public var descriptorNumber: Int32 { socket.number }

  /// - Returns: the next client that waits, its socket non-blocking; nil when none does.
  public func accept() throws(SystemCallError) -> Descriptor? {
    while true {
      do throws(SystemCallError) {
        guard let number = try nonblockingCall("accept4", on: path, { hf_accept(socket.number) }) else { return nil }
        return Descriptor(owning: number)
      } catch {
        // The client went away while it waited: the next one may be there.
        guard error.errno == .connectionAbort else { throw error }
      }
    }
  }

  /// Removes a socket that nobody listens on any more.
  private static func clearTheWay(_ path: String) throws(UnixListenerError) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path: path) }
    do throws(SystemCallError) {
      let probe = try UnixSocket.make(nonblocking: true)
      let address = try UnixSocket.address(of: path)
      try systemCall("connect", on: path) { address.with { connect(probe.number, $0, $1) } }
      throw SystemCallError("bind", on: path, errno: .addressInUse)
    } catch {
      switch error.errno {
      case .connectionRefused: break
      case .noSuchFileOrDirectory: return
      // A queue full of clients is an answer too.
      case .addressInUse, .resourceTemporarilyUnavailable: throw .inUse(path: path)
      default: throw .system(error)
      }
    }
    guard unlink(path) == 0 || errno == ENOENT else {
      throw .system(SystemCallError("unlink", on: path, errno: Errno(rawValue: errno)))
    }
  }

  private static func groupNumber(of name: String) throws(UnixListenerError) -> gid_t {
    if let number = gid_t(name) { return number }
    var entry = Glibc.group()
    var found: UnsafeMutablePointer<Glibc.group>?
    var text = [CChar](repeating: 0, count: 1 << 16)
    guard getgrnam_r(name, &entry, &text, text.count, &found) == 0, found != nil else { throw .noSuchGroup(name) }
    return entry.gr_gid
  }
}
