import Glibc

/// The project's files, as the tests find them beside themselves.
enum Tree {
  static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

  struct File: CustomStringConvertible {
    /// From the root on.
    let path: String
    let text: String
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
    var description: String { path }

    /// The modules that it imports. Imports stand at the beginning of a line, behind attributes and access levels.
    var imports: Set<String> {
      let modifiers: Set = ["internal", "public", "package", "private", "fileprivate"]
      let kinds: Set = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
      return Set(
        lines.compactMap { line in
          let words = line.split(separator: " ").drop { modifiers.contains(String($0)) || $0.hasPrefix("@") }
          guard words.first == "import", !line.hasPrefix(" ") else { return nil }
          return words.dropFirst().first { !kinds.contains(String($0)) }.map { String($0.prefix { $0 != "." }) }
        })
    }

    /// Its lines without comments, with their numbers from 1 on. A "//" inside a string ends the line early, which hides
    /// nothing that the tests look for.
    var code: [(number: Int, text: Substring)] {
      lines.enumerated().map { number, line in
        (number + 1, line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line)
      }
    }
  }

  static func text(_ path: String) -> String? {
    guard let stream = fopen(root + "/" + path, "r") else { return nil }
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&chunk, 1, chunk.count, stream), count > 0 { bytes += chunk[..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// All files below `folder` whose names end in `suffix`, in the order of their paths.
  static func files(_ folder: String, suffix: String = ".swift") -> [File] {
    names(folder).sorted().flatMap { name -> [File] in
      let path = "\(folder)/\(name)"
      if isFolder(path) { return files(path, suffix: suffix) }
      guard name.hasSuffix(suffix), let text = text(path) else { return [] }
      return [File(path: path, text: text)]
    }
  }

  private static func names(_ folder: String) -> [String] {
    guard let directory = opendir(root + "/" + folder) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }

  private static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return lstat(root + "/" + path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}
