internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import SystemCalls
internal import SystemPackage

/// Wakes a thread that waits in poll(2): a pipe to itself.
final class Wakeup: Sendable {
  /// To wait on.
  let number: Int32
  private let other: Int32

  init() throws(SystemCallError) {
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe") { pipe(&ends) }
    number = ends[0]
    other = ends[1]
    for end in ends {
      try systemCall("fcntl(F_SETFD)") { hf_fcntl_int(end, F_SETFD, FD_CLOEXEC) }
      try systemCall("fcntl(F_SETFL)") { hf_fcntl_int(end, F_SETFL, O_NONBLOCK) }
    }
  }

  deinit {
    close(number)
    close(other)
  }

  /// A pipe that is full wakes as well.
  func signal() {
    var byte: UInt8 = 1
    _ = write(other, &byte, 1)
  }

  func clear() {
    var bytes = [UInt8](repeating: 0, count: 256)
    while read(number, &bytes, bytes.count) > 0 {}
  }
}
