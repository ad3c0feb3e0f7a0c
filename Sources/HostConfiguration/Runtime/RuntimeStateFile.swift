internal import CLinux
internal import Glibc
internal import LinuxNetwork
package import SystemCalls
internal import SystemPackage

/// The file in which a running daemon keeps its `RuntimeState`.
///
/// It is written whole under another name and then given its own, so that whoever reads it sees the former state or the new one. Its mode is 0600.
package struct RuntimeStateFile: Hashable {
  package let path: String

  /// What the names of all such files end with.
  package static let suffix = "holdfastd.state"
  /// Bytes; the text of the configuration in it has at most 1 MiB.
  private static let longest = 8 << 20

  package init(path: String) { self.path = path }

  /// Where a daemon with this control socket keeps it: in the directory that the service manager made for this service alone
  /// (RuntimeDirectory= in systemd.exec(5)), otherwise beside the socket, under a name that follows from the socket's.
  package init(control: String) {
    path = Self.serviceFolder.map { "\($0)/\(Self.suffix)" } ?? "\(control).\(Self.suffix)"
  }

  /// The first directory in RUNTIME_DIRECTORY; nil where a daemon was started by hand.
  package static var serviceFolder: String? {
    guard let value = getenv("RUNTIME_DIRECTORY") else { return nil }
    return String(cString: value).split(separator: ":").first.map(String.init)
  }

  /// All of them in a folder, in the order of their names.
  package static func all(in folder: String) -> [RuntimeStateFile] {
    guard let directory = opendir(folder) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
      }
      if name == suffix || name.hasSuffix(".\(suffix)") { names.append(name) }
    }
    return names.sorted().map { RuntimeStateFile(path: "\(folder)/\($0)") }
  }

  /// Why a state cannot be read.
  package enum Unreadable: Error, CustomStringConvertible {
    case system(SystemCallError)
    case tooLong
    /// Somebody else could have written it, and it says which addresses are to be removed.
    case notTrusted(String)
    case content(RuntimeState.Unusable)

    package var description: String {
      switch self {
      case .system(let error): "\(error)"
      case .tooLong: "it is longer than \(longest) bytes"
      case .notTrusted(let reason): reason
      case .content(let error): "\(error)"
      }
    }

    /// There is none.
    package var isMissing: Bool {
      guard case .system(let error) = self else { return false }
      return error.errno == .noSuchFileOrDirectory
    }
  }

  package func read() throws(Unreadable) -> RuntimeState {
    let (status, bytes) = try contents()
    if let reason = distrust(status) { throw .notTrusted(reason) }
    guard bytes.count <= Self.longest else { throw .tooLong }
    do throws(RuntimeState.Unusable) { return try RuntimeState(decoding: bytes) } catch { throw .content(error) }
  }

  /// Root and the service's own user write it, nobody else.
  private func distrust(_ status: stat) -> String? {
    guard status.st_mode & S_IFMT == S_IFREG else { return "it is not a regular file" }
    guard status.st_mode & 0o022 == 0 else { return "others than its owner may write to it" }
    var folder = stat()
    let isOfFolder = stat(Self.folder(of: path), &folder) == 0 && folder.st_uid == status.st_uid
    guard status.st_uid == 0 || status.st_uid == geteuid() || isOfFolder else {
      return "it belongs to user \(status.st_uid), who is neither root nor the owner of its folder"
    }
    return nil
  }

  /// Whose it is, and what is in it; of something else than a file nothing is read, and of one that is too long not all.
  private func contents() throws(Unreadable) -> (stat, [UInt8]) {
    do throws(SystemCallError) {
      let file = Descriptor(
        owning: try systemCall("open", on: path) { hf_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0) })
      let number = file.number
      var status = stat()
      try systemCall("fstat", on: path) { fstat(number, &status) }
      var bytes: [UInt8] = []
      guard status.st_mode & S_IFMT == S_IFREG else { return (status, []) }
      var chunk = [UInt8](repeating: 0, count: 65_536)
      while bytes.count <= Self.longest {
        let count = try systemCall("read", on: path) { Glibc.read(number, &chunk, chunk.count) }
        if count == 0 { break }
        bytes += chunk[..<count]
      }
      return (status, bytes)
    } catch {
      throw .system(error)
    }
  }

  /// Puts a state in the place of the one before.
  package func write(_ state: RuntimeState) throws {
    let bytes = try state.encoded
    let fresh = path + ".new"
    // What lies there is of a daemon that was interrupted, or of a stranger: neither is written to.
    unlink(fresh)
    let file = Descriptor(
      owning: try systemCall("open", on: fresh) { hf_open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) })
    do {
      var done = 0
      while done < bytes.count {
        done += try systemCall("write", on: fresh) {
          bytes[done...].withUnsafeBytes { Glibc.write(file.number, $0.baseAddress, $0.count) }
        }
      }
      try systemCall("fsync", on: fresh) { fsync(file.number) }
      try systemCall("rename", on: path) { rename(fresh, path) }
    } catch {
      unlink(fresh)
      throw error
    }
  }

  package func remove() { unlink(path) }

  /// What is before the last slash.
  package static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
