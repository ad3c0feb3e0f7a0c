public import ArgumentParser
internal import ControlAPI
internal import HoldfastDaemon
public import Logging

@main
struct Holdfastd: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holdfastd",
    abstract: "Keeps established TCP connections alive when their host dies.",
    discussion: """
      Runs in the foreground until SIGTERM or SIGINT. SIGUSR2 ends it, too, and leaves its connections to the next start, \
      if the service manager keeps them (FileDescriptorStoreMax= in systemd.service(5)); under systemd a restart does the \
      same. SIGUSR2 is refused while the configuration file cannot be used. A daemon that its service manager starts again, \
      and that finds such a file, goes on with the last good configuration and says so. Exit status: 0 after an orderly stop or a valid --check, 1 when the \
      configuration cannot be used or the daemon cannot go on, 64 when the command line is wrong.
      """,
    version: "holdfastd \(holdfastVersion)")

  @Option(name: [.short, .long], help: ArgumentHelp("The configuration file.", valueName: "file"))
  var config = "/etc/holdfast/holdfastd.toml"

  @Flag(help: "Check the configuration and exit.")
  var check = false

  @Option(help: ArgumentHelp("The least severe messages to log.", valueName: "level"))
  var logLevel = Logger.Level.info

  func run() throws {
    if check { throw ExitCode(DaemonStart.check(path: config)) }
    throw ExitCode(DaemonStart.run(path: config, level: logLevel))
  }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
