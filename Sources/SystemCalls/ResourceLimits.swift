internal import Glibc
internal import SystemPackage

/// Limits of this process.
public enum ResourceLimits {
  /// Raises the number of open files to the hard limit: each protected connection takes one.
  /// - Returns: the limit that holds now.
  @discardableResult
  public static func raiseDescriptors() throws(SystemCallError) -> Int {
    var limit = rlimit()
    try systemCall("getrlimit(RLIMIT_NOFILE)") { getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
    limit.rlim_cur = limit.rlim_max
    try systemCall("setrlimit(RLIMIT_NOFILE)") { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
    return Int(clamping: limit.rlim_cur)
  }

  /// Descriptors that connections leave to everything else: the control socket's clients, the other host, files, commands. Without
  /// them nobody could take the connections, or ask what is wrong.
  public static let reserve = 32

  /// How many files this process may have open now.
  public static var descriptors: Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
    return Int(clamping: limit.rlim_cur)
  }

  /// Whether a connection may have `descriptor`, which was opened just now: the kernel hands out the lowest number that is free, so
  /// those that are left lie above it.
  public static func leavesReserve(_ descriptor: Int32) -> Bool { Int(descriptor) < descriptors - reserve }
}
