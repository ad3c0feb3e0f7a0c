public import ArgumentParser
internal import ControlAPI
internal import HoldfastProxy
public import Logging

@main
struct HoldfastProxyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holdfast-proxy",
    abstract: "A TCP proxy whose connections survive the crash of its host.",
    discussion: """
      Runs in the foreground until SIGTERM or SIGINT, then until its sessions have ended or drain_timeout is over. Exit \
      status: 0 after an orderly stop or a valid --check, 1 when the configuration cannot be used or the proxy cannot go on, \
      64 when the command line is wrong.
      """,
    version: "holdfast-proxy \(holdfastVersion)")

  @Option(name: [.short, .long], help: ArgumentHelp("The configuration file.", valueName: "file"))
  var config = "/etc/holdfast/holdfast-proxy.toml"

  @Flag(help: "Check the configuration and exit.")
  var check = false

  @Option(help: ArgumentHelp("The least severe messages to log.", valueName: "level"))
  var logLevel = Logger.Level.info

  func run() throws {
    if check { throw ExitCode(ProxyStart.check(path: config)) }
    throw ExitCode(ProxyStart.run(path: config, level: logLevel))
  }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
