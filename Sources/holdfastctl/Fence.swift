internal import ArgumentParser
internal import DaemonSupport
internal import HostConfiguration
internal import Logging

struct Fence: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Takes this host out of service while no daemon runs on it.",
    discussion: """
      Removes the service addresses, so that this host does not answer beside the one that has taken over. The packets of \
      the connections stay dropped, as a daemon that crashed leaves them.

      The addresses are those of the configuration and those that the daemon has written down in its runtime directory, \
      holdfastd.state; one of the two is enough. So it works with a configuration that is missing or broken, and says what is \
      wrong with it. Without --runtime that file is looked for in $RUNTIME_DIRECTORY, or else in /run/holdfast, beside \
      the configuration and beside the control socket.

      Needs CAP_NET_ADMIN, but no daemon; while one runs it refuses. The service manager calls it when the daemon has \
      failed. A daemon that starts afterwards puts everything back in order.

      Exit status: 0 when no address is left, 1 when one is, when a daemon runs, or when nothing says which addresses there are.
      """)

  @Option(name: [.short, .long], help: ArgumentHelp("The daemon's configuration file.", valueName: "file"))
  var config = "/etc/holdfast/holdfastd.toml"

  @Option(
    help: ArgumentHelp("The folder with what the daemon has written down.", valueName: "folder"))
  var runtime: String?

  func run() throws {
    let status = HostFence(path: config, runtime: runtime, logger: .daemon(level: .info)).run()
    if status != 0 { throw ExitCode(status) }
  }
}
