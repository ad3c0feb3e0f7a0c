internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import SystemPackage

/// A child process whose end is awaited through a pidfd (pidfd_open(2)): no SIGCHLD, and no other child is touched.
final class ChildSource {
  private let descriptor: Descriptor
  private var source: IOSource?

  fileprivate init(
    loop: EventLoop, process: pid_t, priority: Int, handler: @escaping (_ status: Int32) -> Void
  ) throws(SystemCallError) {
    let number = hf_pidfd_open(process)
    guard number >= 0 else {
      throw SystemCallError("pidfd_open", on: "process \(process)", errno: Errno(rawValue: errno))
    }
    descriptor = Descriptor(owning: number)
    source = try loop.addIO(number, .readable, priority: priority, description: "child \(process)") { [weak self] _ in
      var status: Int32 = 0
      let reaped = waitpid(process, &status, WNOHANG)
      guard reaped != 0 else { return }
      self?.cancel()
      // ECHILD: something else has waited for it, so its status is lost.
      handler(reaped == process ? hf_exit_status(status) : -1)
    }
  }

  deinit { cancel() }

  /// Stops watching; the process is left alone and not reaped.
  func cancel() {
    source?.cancel()
    source = nil
  }
}

extension EventLoop {
  /// Reaps `process`, a child of ours, when it ends, and calls `handler` once with its exit status: 0…255, 128 plus the
  /// number of the signal that ended it, or -1 when someone else has reaped it.
  func addChild(_ process: pid_t, priority: Int = 0, handler: @escaping (_ status: Int32) -> Void)
    throws(SystemCallError) -> ChildSource
  {
    try ChildSource(loop: self, process: process, priority: priority, handler: handler)
  }
}
