internal import CLinux
internal import Glibc

/// A command line tool that is run to its end: `ip`, `iptables`.
public enum Tool {
  /// What it said on its standard output.
  @discardableResult
  public static func run(
    _ name: String, _ arguments: [String], input: String? = nil, in namespace: Namespace? = nil
  ) throws -> String {
    let process = try LabProcess.start(name, arguments, in: namespace, input: input.map { Array($0.utf8) }, quiet: true)
    let status = try process.wait(until: .seconds(60))
    defer { process.discardOutput() }
    guard status == 0 else {
      let said = process.standardError.isEmpty ? process.standardOutput : process.standardError
      throw LabError("\(name) \(arguments.joined(separator: " ")): exit status \(status): \(said)")
    }
    return process.standardOutput
  }

  @discardableResult
  public static func run(_ name: String, _ arguments: String...) throws -> String {
    try run(name, arguments)
  }

  /// Where the shell would find it, and in the folders of system tools that sudo or a user's PATH may lack.
  public static func path(of name: String) throws -> String {
    if name.contains("/") { return name }
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    for folder in (path + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin").split(separator: ":") {
      let candidate = "\(folder)/\(name)"
      if access(candidate, X_OK) == 0 { return candidate }
    }
    throw LabError("\(name) is not installed: make test and make demo install what they need; or apt-get install it")
  }
}
