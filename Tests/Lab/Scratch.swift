internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import Synchronization
internal import SystemCalls
internal import SystemPackage

/// The laboratory's temporary folder, one a process. It goes when the process ends, unless `HOLDFAST_LAB_KEEP` is set.
public enum Scratch {
  private static let made = Mutex<String?>(nil)
  private static let serial = Atomic<Int>(0)

  public static func folder() throws -> String {
    try made.withLock { made in
      if let made { return made }
      let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
      var template = Array("\(parent)/hf\(getpid())-XXXXXX".utf8CString)
      guard mkdtemp(&template) != nil else {
        throw SystemCallError("mkdtemp", on: parent, errno: Errno(rawValue: errno))
      }
      let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if getenv("HOLDFAST_LAB_KEEP") == nil { _ = Janitor.add { Files.remove(path) } }
      made = path
      return path
    }
  }

  /// A new empty folder in it.
  public static func subfolder(_ name: String) throws -> String {
    let path = try folder() + "/\(serial.add(1, ordering: .relaxed).newValue)-\(name)"
    try Files.makeFolder(path)
    return path
  }
}
