internal import ArgumentParser
internal import HoldfastDaemon
internal import Logging

struct Fence: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Takes this host out of service while no daemon runs on it.",
    discussion: """
      Removes the service addresses and drops every packet of the connections, so that nothing of them leaves this host \
      beside the one that has taken over. Needs the configuration and CAP_NET_ADMIN, but no daemon; while one runs it \
      refuses. The service manager calls it when the daemon has failed. A daemon that starts afterwards puts everything \
      back in order.
      """)

  @Option(name: [.short, .long], help: ArgumentHelp("The daemon's configuration file.", valueName: "file"))
  var config = "/etc/holdfast/holdfastd.toml"

  func run() throws {
    let status = DaemonStart.fence(path: config, level: .info)
    if status != 0 { throw ExitCode(status) }
  }
}
