internal import CLinux
internal import Glibc
internal import LinuxNetwork

/// The service manager's end of sd_notify(3): a datagram socket that keeps what it is told.
public final class NotifySocket {
  public let path: String
  private let socket: Descriptor
  private var lines: [String] = []

  public init(path: String) throws {
    self.path = path
    socket = Descriptor(
      owning: try systemCall("socket") {
        Glibc.socket(
          AF_UNIX,
          Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
      })
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw LabError("\(path) is too long") }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    try systemCall("bind", on: path) {
      withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(socket.number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
    }
  }

  /// All assignments so far, in order: `READY=1`.
  public func received() -> [String] {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = recv(socket.number, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      guard count > 0 else { return lines }
      lines += String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n").map(String.init)
    }
  }
}
