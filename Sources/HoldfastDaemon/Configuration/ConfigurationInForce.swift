internal import DaemonSupport
internal import Glibc

/// The configuration that a daemon runs with: what its file says, or the last good one when the file cannot be used.
struct ConfigurationInForce: Sendable, Equatable {
  /// The file's path, absolute.
  let path: String
  /// From which the configuration was read.
  let text: String
  let configuration: Configuration
  /// Why the file cannot be used; nil when what is in force is what it says.
  let problem: String?

  /// What the file says.
  init(path: String) throws(ConfigurationError) {
    try self.init(path: path, text: try ConfigurationFile.contents(path), problem: nil)
  }

  /// A text that was good in the place of a file that is not.
  init(lastGood text: String, of path: String, problem: ConfigurationError) throws(ConfigurationError) {
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
  var namesInFile: Set<String>? {
    (try? ConfigurationInForce(path: path)).map { Set($0.configuration.pairs.map(\.name)) }
  }

  /// As the path is from everywhere; links in it stay, since what they lead to may change.
  static func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return path }
    defer { free(folder) }
    return String(cString: folder) + "/" + path
  }
}
