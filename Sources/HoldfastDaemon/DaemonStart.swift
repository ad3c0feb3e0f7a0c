internal import DaemonSupport
internal import Glibc
internal import LinuxNetwork
public import Logging

/// From a command line to a running daemon. Both ways return the exit status and have said why it is not 0.
public enum DaemonStart {
  /// Checks the configuration; the answer goes to standard output, what is wrong to standard error.
  public static func check(path: String) -> Int32 {
    do {
      _ = try Configuration.load(path: path)
    } catch {
      LogOutput.write("\(error)", to: STDERR_FILENO)
      return 1
    }
    print("configuration is valid")
    return 0
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
      return try Daemon(configuration: configuration, logger: logger).run()
    } catch {
      logger.critical("the daemon cannot go on", metadata: ["error": "\(error)"])
      return 1
    }
  }

  /// Takes the service addresses off this host: after a crash it would answer for them beside the host that has taken over.
  /// Packet rules stay, so that what is left of the connections stays mute.
  public static func withdraw(path: String, level: Logger.Level) -> Int32 {
    let logger = Logger.daemon(level: level)
    guard let configuration = load(path, logger, checkingKeys: false) else { return 1 }
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
      return 0
    } catch {
      logger.error("cannot remove the service addresses", metadata: ["error": "\(error)"])
      return 1
    }
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
