internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import Synchronization
internal import SystemCalls

/// The service manager's end of sd_notify(3): a datagram socket that keeps what it is told, and the descriptors that it is given, for
/// the service's next start (FileDescriptorStoreMax= in systemd.service(5)).
public final class NotifySocket: Sendable {
  public let path: String

  private struct State {
    var lines: [String] = []
    var stored: [(name: String, descriptor: Int32)] = []
    var isOver = false
  }

  private let state: Arc

  /// The reading thread must not keep the socket alive.
  private final class Arc: Sendable {
    let socket: Descriptor
    let state = Mutex(State())
    init(_ socket: consuming Descriptor) { self.socket = socket }
    deinit { state.withLock { for (_, descriptor) in $0.stored { close(descriptor) } } }
  }

  public init(path: String) throws {
    self.path = path
    let socket = Descriptor(
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
    state = Arc(socket)
    _ = try DedicatedThread { [state] in
      while !state.state.withLock({ $0.isOver }) {
        var request = pollfd(fd: state.socket.number, events: Int16(POLLIN), revents: 0)
        if poll(&request, 1, 50) > 0 { Self.read(state) }
      }
    }
  }

  deinit { state.state.withLock { $0.isOver = true } }

  private static func read(_ state: Arc) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      // Those that nobody takes are closed: for BARRIER=1 that is the answer.
      var descriptors = ReceivedDescriptors()
      guard let count = try? DescriptorPassing.receive(into: buffer, adding: &descriptors, over: state.socket.number),
        count > 0
      else { return }
      let lines = String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n").map(String.init)
      let name = lines.lazy.compactMap { $0.hasPrefix("FDNAME=") ? String($0.dropFirst(7)) : nil }.first ?? "stored"
      var arrived: [Int32] = []
      if lines.contains("FDSTORE=1") {
        for index in 0..<descriptors.count {
          if let number = descriptors.take(at: index)?.release() { arrived.append(number) }
        }
      }
      state.state.withLock { state in
        state.lines += lines
        state.stored += arrived.map { (name, $0) }
        guard lines.contains("FDSTOREREMOVE=1") else { return }
        for stored in state.stored where stored.name == name { close(stored.descriptor) }
        state.stored.removeAll { $0.name == name }
      }
    }
  }

  /// All assignments so far, in order: `READY=1`.
  public func received() -> [String] { state.state.withLock { $0.lines } }

  /// The machine that it runs on has died.
  public func forgetAll() {
    state.state.withLock { state in
      for (_, descriptor) in state.stored { close(descriptor) }
      state.stored = []
    }
  }

  /// What it keeps, for the next start.
  public var stored: [(name: String, descriptor: Int32)] { state.state.withLock { $0.stored } }
}
