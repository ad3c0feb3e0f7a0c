internal import CLinux
internal import Glibc

/// A file that lives in memory for as long as a descriptor refers to it (memfd_create(2)).
public enum MemoryFile {
  /// - Parameter name: shown in /proc/PID/fd, for people.
  public static func make(_ name: String, holding bytes: [UInt8]) throws(SystemCallError) -> Descriptor {
    let file = Descriptor(owning: try systemCall("memfd_create", on: name) { hf_memory_file(name) })
    var done = 0
    while done < bytes.count {
      done += try systemCall("write", on: name) {
        bytes[done...].withUnsafeBytes { write(file.number, $0.baseAddress, $0.count) }
      }
    }
    return file
  }

  /// All of it, wherever whoever had it before has read or written last.
  public static func contents(of file: Int32) throws(SystemCallError) -> [UInt8] {
    var status = stat()
    try systemCall("fstat", on: "memory file") { fstat(file, &status) }
    var bytes = [UInt8](repeating: 0, count: Int(max(0, status.st_size)))
    var done = 0
    while done < bytes.count {
      let count = try systemCall("pread", on: "memory file") {
        bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress.map { $0 + done }, $0.count - done, off_t(done)) }
      }
      guard count > 0 else { break }
      done += count
    }
    return Array(bytes[..<done])
  }
}
