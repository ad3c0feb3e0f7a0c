internal import DaemonSupport
internal import Glibc
internal import LinuxNetwork
public import Logging

/// From a command line to a running daemon. Both ways return the exit status and have said why it is not 0.
public enum DaemonStart {
  /// Checks the configuration, and says what is wrong with it.
  public static func check(path: String) -> Int32 {
    ConfigurationFile.check { () throws(ConfigurationError) in _ = try Configuration.load(path: path) }
  }

  /// Runs the daemon until it is told to end.
  public static func run(path: String, level: Logger.Level) -> Int32 {
    // A reader of our log or of a socket that goes away is an error of that write, not the end of the daemon.
    signal(SIGPIPE, SIG_IGN)
    let logger = Logger.daemon(level: level)
    guard let configuration = load(path, logger) else { return 1 }
    let missing = Capability.missing
    guard missing.isEmpty else {
      logger.error(
        "the daemon may not do what it must: run it as root or as the service holdfastd.service",
        metadata: ["missing": "\(missing.map(\.rawValue).joined(separator: " "))"])
      return 1
    }
    do {
      let kept = RestartStore.take(logger: logger)
      return try Daemon(configuration: configuration, kept: kept, logger: logger).run()
    } catch {
      logger.critical("the daemon cannot go on", metadata: ["error": "\(error)"])
      return 1
    }
  }

  /// Takes this host out of service while no daemon runs: after a crash it would answer beside the host that has taken over. The
  /// addresses go, and what is left of the connections is mute.
  public static func fence(path: String, level: Logger.Level) -> Int32 {
    let logger = Logger.daemon(level: level)
    guard let configuration = load(path, logger, checkingKeys: false) else { return 1 }
    guard (try? UnixSocket.connect(to: configuration.node.control)) == nil else {
      logger.error(
        "a daemon runs: it sees to the addresses itself; move its connections with holdfastctl switchover, or stop it",
        metadata: ["file": "\(configuration.node.control)"])
      return 1
    }
    var status: Int32 = 0
    // The packet table outlives its daemon, and nobody reads its queues: what is left of the connections is mute.
    do {
      let manager = try AddressManager()
      for pair in configuration.pairs {
        for address in pair.addresses {
          try manager.remove(address)
          logger.event(
            .addressMoved, "address removed: the daemon is gone",
            metadata: ["pair": "\(pair.name)", "address": "\(address)"])
        }
      }
    } catch {
      logger.error("cannot remove the service addresses", metadata: ["error": "\(error)"])
      status = 1
    }
    return status
  }

  private static func load(_ path: String, _ logger: Logger, checkingKeys: Bool = true) -> Configuration? {
    do {
      return try Configuration.load(path: path, checkingKeys: checkingKeys)
    } catch {
      logger.event(
        .configurationInvalid, level: .error, "the configuration cannot be used",
        metadata: ["file": "\(path)", "error": "\(error)"])
      return nil
    }
  }
}
