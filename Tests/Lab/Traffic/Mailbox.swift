internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import Synchronization
internal import SystemCalls

/// Hands values from one thread to another that waits for sockets as well.
public final class Mailbox<Value: Sendable>: Sendable {
  private let values = Mutex<[Value]>([])
  private let reading: Int32
  private let writing: Int32

  public init() throws {
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe") { pipe(&ends) }
    for end in ends {
      _ = hf_fcntl_int(end, F_SETFD, FD_CLOEXEC)
      _ = hf_fcntl_int(end, F_SETFL, O_NONBLOCK)
    }
    (reading, writing) = (ends[0], ends[1])
  }

  deinit {
    close(reading)
    close(writing)
  }

  /// Readable when there is something to take.
  public var descriptor: Int32 { reading }

  public func post(_ value: Value) {
    values.withLock { $0.append(value) }
    // A full pipe wakes the reader as well.
    var byte: UInt8 = 0
    _ = write(writing, &byte, 1)
  }

  /// What has come since, in order; empty when nothing has.
  public func takeAll() -> [Value] {
    var bytes = [UInt8](repeating: 0, count: 4096)
    while read(reading, &bytes, bytes.count) == bytes.count {}
    return values.withLock { values in
      defer { values = [] }
      return values
    }
  }

  /// As `takeAll`, but waits until there is something.
  public func waitAndTakeAll() -> [Value] {
    while true {
      let taken = takeAll()
      if !taken.isEmpty { return taken }
      var request = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
      _ = poll(&request, 1, -1)
    }
  }
}
