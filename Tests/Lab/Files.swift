internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import SystemCalls
internal import SystemPackage

/// Small files, whole.
public enum Files {
  public static func read(_ path: String) throws -> String {
    String(decoding: try readBytes(path), as: UTF8.self)
  }

  public static func readBytes(_ path: String) throws -> [UInt8] {
    let file = Descriptor(owning: try systemCall("open", on: path) { hf_open(path, O_RDONLY | O_CLOEXEC, 0) })
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = try systemCall("read", on: path) { Glibc.read(file.number, &chunk, chunk.count) }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
    }
  }

  public static func write(_ text: String, to path: String) throws {
    try write(Array(text.utf8), to: path)
  }

  public static func write(_ bytes: [UInt8], to path: String) throws {
    let file = Descriptor(
      owning: try systemCall("open", on: path) { hf_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644) })
    try writeAll(bytes, to: file, path)
  }

  /// Writes a file piece by piece.
  public static func append(to path: String, _ body: (_ write: ([UInt8]) throws -> Void) throws -> Void) throws {
    let file = Descriptor(
      owning: try systemCall("open", on: path) { hf_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644) })
    try body { try writeAll($0, to: file, path) }
  }

  private static func writeAll(_ bytes: [UInt8], to file: borrowing Descriptor, _ path: String) throws {
    let number = file.number
    try bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        done += try systemCall("write", on: path) {
          Glibc.write(number, buffer.baseAddress?.advanced(by: done), buffer.count - done)
        }
      }
    }
  }

  /// The names in a folder, in no order; none when it cannot be read.
  public static func list(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  /// Where a symbolic link points; `nil` when it is none.
  public static func target(ofLink path: String) -> String? {
    var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = target.withUnsafeMutableBytes { buffer in
      guard let start = buffer.baseAddress else { return -1 }
      return readlink(path, start.assumingMemoryBound(to: CChar.self), buffer.count)
    }
    return count < 0 ? nil : String(decoding: target[..<count], as: UTF8.self)
  }

  public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Bytes in the file, 0 when it is not there.
  public static func size(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }

  public static func makeFolder(_ path: String) throws {
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
      throw SystemCallError("mkdir", on: path, errno: Errno(rawValue: errno))
    }
  }

  /// Makes a folder and those above it.
  public static func makeFolders(_ path: String) throws {
    var made = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      made += "\(part)"
      try makeFolder(made)
      made += "/"
    }
  }

  /// Removes a file, or a folder with all that is in it.
  public static func remove(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT == S_IFDIR {
      for name in list(path) { remove("\(path)/\(name)") }
      rmdir(path)
    } else {
      unlink(path)
    }
  }
}
