package import DaemonSupport
internal import Glibc

/// The configuration that a daemon runs with: what its file says, or the last good one when the file cannot be used.
package struct ConfigurationInForce: Sendable, Equatable {
  /// The file's path, absolute.
  package let path: String
  /// From which the configuration was read.
  package let text: String
  package let configuration: Configuration
  /// Why the file cannot be used; nil when what is in force is what it says.
  package let problem: String?

  /// What the file says.
  package init(path: String) throws(ConfigurationError) {
    try self.init(path: path, text: try ConfigurationFile.contents(path), problem: nil)
  }

  /// A text that was good in the place of a file that is not.
  package init(lastGood text: String, of path: String, problem: ConfigurationError) throws(ConfigurationError) {
    try self.init(path: path, text: text, problem: "\(problem)")
  }

  private init(path: String, text: String, problem: String?) throws(ConfigurationError) {
    self.path = Self.absolute(path)
    self.text = text
    self.problem = problem
    configuration = try Configuration.parse(text, file: path)
    try configuration.checkKeys(file: path)
  }

  /// The names of the pairs that the file has now; nil when the next daemon cannot use it.
  package var namesInFile: Set<String>? {
    (try? ConfigurationInForce(path: path)).map { Set($0.configuration.pairs.map(\.name)) }
  }

  /// As the path is from everywhere; links in it stay, since what they lead to may change.
  package static func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return path }
    defer { free(folder) }
    return String(cString: folder) + "/" + path
  }
}
