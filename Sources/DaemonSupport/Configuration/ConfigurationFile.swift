internal import Glibc
internal import SystemPackage
internal import TOMLKit

/// A configuration file as a whole.
package enum ConfigurationFile {
  /// Far beyond any configuration; a device or a growing log named by mistake is not read for ever.
  private static let longest = 1 << 20

  /// Hands the file's root table to `body`.
  /// - Parameter known: the tables that may stand in the file.
  package static func read<Value>(
    path: String, known: [String], _ body: (TableReader) throws(ConfigurationError) -> Value
  ) throws(ConfigurationError) -> Value {
    try parse(try contents(path), file: path, known: known, body)
  }

  /// The same for `text`; errors name `file`.
  package static func parse<Value>(
    _ text: String, file: String, known: [String], _ body: (TableReader) throws(ConfigurationError) -> Value
  ) throws(ConfigurationError) -> Value {
    let root: TOMLTable
    do {
      root = try TOMLTable(string: text)
    } catch let error as TOMLParseError {
      let place = error.source.begin
      throw ConfigurationError(
        file: file, problem: .syntax(line: place.line, column: place.column, reason: error.description))
    } catch {
      throw ConfigurationError(file: file, problem: .syntax(line: 1, column: 1, reason: "\(error)"))
    }
    let value = try body(try TableReader(root, file: file, known: known))
    // The values that a table hands out point into it.
    return withExtendedLifetime(root) { value }
  }

  /// What `--check` does: the answer goes to standard output, what is wrong to standard error.
  /// - Returns: the exit status.
  package static func check(_ load: () throws(ConfigurationError) -> Void) -> Int32 {
    do {
      try load()
    } catch {
      LogOutput.write("\(error)", to: STDERR_FILENO)
      return 1
    }
    print("configuration is valid")
    return 0
  }

  /// The text of a file, of 1 MiB at most.
  package static func contents(_ path: String) throws(ConfigurationError) -> String {
    func failure(_ problem: ConfigurationError.Problem) -> ConfigurationError {
      ConfigurationError(file: path, problem: problem)
    }
    do {
      let descriptor = try FileDescriptor.open(path, .readOnly)
      defer { try? descriptor.close() }
      var bytes = [UInt8](repeating: 0, count: longest + 1)
      var count = 0
      while count < bytes.count {
        let read = try bytes.withUnsafeMutableBytes { try descriptor.read(into: .init(rebasing: $0[count...])) }
        if read == 0 { break }
        count += read
      }
      guard count <= longest else { throw failure(.tooLong(limit: longest)) }
      guard let text = String(validating: bytes[..<count], as: UTF8.self) else { throw failure(.notText) }
      return text
    } catch let error as ConfigurationError {
      throw error
    } catch let error as Errno {
      throw failure(.unreadable(error))
    } catch {
      throw failure(.unreadable(.ioError))
    }
  }
}
