internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemCalls
internal import SystemPackage

/// Tells tasks when a socket can be read or written: one thread and one epoll instance for the process.
final class SocketReadiness: Sendable {
  enum Direction { case read, write }

  private struct Waiters {
    var read: CheckedContinuation<Void, any Error>?
    var write: CheckedContinuation<Void, any Error>?

    var events: UInt32 { (read == nil ? 0 : EPOLLIN.rawValue) | (write == nil ? 0 : EPOLLOUT.rawValue) }

    mutating func take(_ direction: Direction) -> CheckedContinuation<Void, any Error>? {
      defer { if direction == .read { read = nil } else { write = nil } }
      return direction == .read ? read : write
    }
  }

  static let shared = Result<SocketReadiness, SystemCallError> { () throws(SystemCallError) in try SocketReadiness() }

  private let number: Int32
  private let waiters = Mutex<[Int32: Waiters]>([:])

  private init() throws(SystemCallError) {
    number = try systemCall("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
    try BackgroundThread.start { [self] in while true { deliver() } }
  }

  /// Returns when `socket` is ready, or has failed. One task may wait for each direction.
  func wait(for direction: Direction, of socket: Int32) async throws {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let refused = waiters.withLock { all -> (any Error)? in
          if Task.isCancelled { return CancellationError() }
          var mine = all[socket] ?? Waiters()
          let isNew = mine.events == 0
          if direction == .read { mine.read = continuation } else { mine.write = continuation }
          if let error = arm(socket, mine, isNew: isNew) { return error }
          all[socket] = mine
          return nil
        }
        if let refused { continuation.resume(throwing: refused) }
      }
    } onCancel: {
      let waiting = waiters.withLock { $0[socket]?.take(direction) }
      waiting?.resume(throwing: CancellationError())
    }
  }

  /// Before the socket is closed: whoever waits is told that it is over.
  func forget(_ socket: Int32) {
    let gone = waiters.withLock { all in
      epoll_ctl(number, EPOLL_CTL_DEL, socket, nil)
      return all.removeValue(forKey: socket)
    }
    gone?.read?.resume(throwing: CancellationError())
    gone?.write?.resume(throwing: CancellationError())
  }

  /// Once: the kernel reports nothing more until it is armed again.
  private func arm(_ socket: Int32, _ waiters: Waiters, isNew: Bool) -> SystemCallError? {
    var event = epoll_event()
    event.events = waiters.events | EPOLLONESHOT.rawValue
    event.data.fd = socket
    do throws(SystemCallError) {
      do throws(SystemCallError) {
        try systemCall("epoll_ctl") { epoll_ctl(number, isNew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event) }
      } catch  where error.errno == .fileExists {
        try systemCall("epoll_ctl") { epoll_ctl(number, EPOLL_CTL_MOD, socket, &event) }
      }
      return nil
    } catch { return error }
  }

  private func deliver() {
    var events = [epoll_event](repeating: epoll_event(), count: 64)
    let count = epoll_wait(number, &events, Int32(events.count), -1)
    guard count > 0 else { return }
    for event in events[..<Int(count)] {
      let broken = event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
      let (reader, writer) = waiters.withLock { all in
        guard var mine = all[event.data.fd] else {
          return (CheckedContinuation<Void, any Error>?.none, CheckedContinuation<Void, any Error>?.none)
        }
        let reader = broken || event.events & EPOLLIN.rawValue != 0 ? mine.take(.read) : nil
        let writer = broken || event.events & EPOLLOUT.rawValue != 0 ? mine.take(.write) : nil
        all[event.data.fd] = mine
        if mine.events != 0 { _ = arm(event.data.fd, mine, isNew: false) }
        return (reader, writer)
      }
      reader?.resume()
      writer?.resume()
    }
  }
}
