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
}
