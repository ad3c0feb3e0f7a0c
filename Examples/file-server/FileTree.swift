internal import Glibc
internal import SystemCalls

/// The folder that is served.
final class FileTree: Sendable {
  private let root: Int32

  init(root path: String) throws(SystemCallError) {
    root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard root >= 0 else { throw lastError("open", on: path) }
  }

  deinit { close(root) }

  struct File: ~Copyable {
    let descriptor: Descriptor
    let size: Int
  }

  /// The regular file that has `target`; nil when there is none that may be served. A folder stands for its `index.html`.
  func file(_ target: String) -> File? {
    guard let path = Self.path(target) else { return nil }
    // Without O_NONBLOCK, opening a named pipe would wait.
    let number = openat(root, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard number >= 0 else { return nil }
    let descriptor = Descriptor(owning: number)
    var status = stat()
    guard fstat(number, &status) == 0 else { return nil }
    if status.st_mode & S_IFMT == S_IFDIR {
      return path.hasSuffix("index.html") ? nil : file((target.hasSuffix("/") ? target : target + "/") + "index.html")
    }
    guard status.st_mode & S_IFMT == S_IFREG else { return nil }
    return File(descriptor: descriptor, size: Int(status.st_size))
  }

  func size(_ target: String) -> Int? {
    guard let file = file(target) else { return nil }
    return file.size
  }

  /// Relative to the root; nil for what would leave it, or is no path.
  static func path(_ target: String) -> String? {
    var components: [String] = []
    for part in target.split(separator: "/") {
      guard let name = decode(part), name != "..", !name.contains("/"), !name.utf8.contains(0) else { return nil }
      if name != "." { components.append(name) }
    }
    return components.isEmpty ? "." : components.joined(separator: "/")
  }

  /// Undoes percent-encoding (RFC 3986, 2.1).
  private static func decode(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      let digits = rest.prefix(2)
      guard digits.count == 2, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
        let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
      else { return nil }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    return String(validating: bytes, as: UTF8.self)
  }
}
