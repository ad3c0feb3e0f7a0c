internal import CLinux
internal import Glibc
public import SystemPackage

/// A call to the kernel that failed: which one, on what, and why.
public struct SystemCallError: Error, Hashable, Sendable {
  /// The call and the argument that decides what it does: `setsockopt(TCP_REPAIR)`.
  public let call: String
  /// What it was done to: an address, an interface, a path. Empty when there is nothing to name.
  public let subject: String
  public let errno: Errno

  public init(_ call: String, on subject: String = "", errno: Errno) {
    self.call = call
    self.subject = subject
    self.errno = errno
  }
}

extension SystemCallError: CustomStringConvertible {
  public var description: String {
    (subject.isEmpty ? "\(call): \(errno)" : "\(call) on \(subject): \(errno)") + advice
  }

  /// What to do, where that is always the same.
  private var advice: String {
    switch errno {
    case .tooManyOpenFiles: " (raise this program's limit: LimitNOFILE= of its service, or ulimit -n)"
    case .tooManyOpenFilesInSystem: " (raise the system's limit: sysctl fs.file-max)"
    default: ""
    }
  }
}

/// The one errno policy. `body` is a call that returns a negative number on failure and leaves its reason in `errno`.
///
/// EINTR is repeated; EBADF, EFAULT and ENOTSOCK on a descriptor of ours are bugs, but the error names them like any other
/// so that a bug in one connection does not end the daemon that carries ten thousand.
@discardableResult
@inline(__always)
package func systemCall<Result: SignedInteger>(
  _ call: @autoclosure () -> String, on subject: @autoclosure () -> String = "", _ body: () -> Result
) throws(SystemCallError) -> Result {
  while true {
    let result = body()
    if result >= 0 { return result }
    let reason = Errno(rawValue: errno)
    if reason == .interrupted { continue }
    throw SystemCallError(call(), on: subject(), errno: reason)
  }
}

/// As `systemCall`, for non-blocking reads and writes: `nil` when the call would block.
@inline(__always)
package func nonblockingCall<Result: SignedInteger>(
  _ call: @autoclosure () -> String, on subject: @autoclosure () -> String = "", _ body: () -> Result
) throws(SystemCallError) -> Result? {
  while true {
    let result = body()
    if result >= 0 { return result }
    let reason = Errno(rawValue: errno)
    if reason == .interrupted { continue }
    if reason == .wouldBlock || reason == .resourceTemporarilyUnavailable { return nil }
    throw SystemCallError(call(), on: subject(), errno: reason)
  }
}
