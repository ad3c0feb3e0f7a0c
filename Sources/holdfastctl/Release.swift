internal import ArgumentParser
internal import ControlAPI
internal import Holdfast

struct Release: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ends a connection's protection.",
    discussion: """
      keep: the connection goes on, unprotected. close: it ends in order, protected until both sides have closed. \
      reset: its peer gets a reset.
      """)

  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "The connection, as 'holdfastctl connections' shows it.") var id: String
  @Option(help: "What becomes of it: keep, close or reset.", transform: mode) var how = ReleaseMode.keep

  func run() throws {
    try daemon.call { (client) throws(HoldfastError) in try client.release(id, how: how) }
  }
}

private func mode(_ text: String) throws -> ReleaseMode {
  guard let mode = ReleaseMode(rawValue: text) else { throw ValidationError("\"\(text)\" is not keep, close or reset") }
  return mode
}
