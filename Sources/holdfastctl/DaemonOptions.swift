internal import ArgumentParser
internal import Glibc
internal import Holdfast

/// How to reach the daemon, and what every verb does when it cannot.
struct DaemonOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The daemon's control socket (default: $HOLDFAST_CONTROL, or \(HoldfastClient.defaultPath)).", valueName: "path"))
  var socket: String?

  /// Longest wait for an answer, ms: the daemon answers these calls at once.
  static let patience = 10_000

  /// Calls the daemon; errors go to standard error, and end the program with the exit status that they have.
  /// - Parameter patience: longest wait for an answer, ms; nil waits for ever.
  func call<Value>(
    patience: Int? = Self.patience, _ body: (HoldfastClient) throws(HoldfastError) -> Value
  ) throws -> Value {
    let variable = getenv("HOLDFAST_CONTROL").map { String(cString: $0) }
    do throws(HoldfastError) {
      return try body(HoldfastClient(path: socket ?? variable ?? HoldfastClient.defaultPath, patience: patience))
    } catch {
      let line = "holdfastctl: \(error)\n"
      _ = write(STDERR_FILENO, line, line.utf8.count)
      if case .daemonNotRunning = error { throw ExitCode(3) }
      throw ExitCode.failure
    }
  }
}
