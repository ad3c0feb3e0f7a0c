internal import DaemonSupport
internal import Glibc
internal import HostConfiguration
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
    guard let inForce = configuration(path, logger) else {
      // This host must not answer for addresses while its daemon cannot start.
      HostFence(path: path, runtime: nil, logger: logger).runIfLeftBehind()
      return 1
    }
    let control = inForce.configuration.node.control
    guard !RuntimeStates.answers(control) else {
      logger.error(
        "a daemon runs already with this control socket: stop it, or give this one another",
        metadata: ["file": "\(control)"])
      return 1
    }
    let missing = Capability.missing
    guard missing.isEmpty else {
      logger.error(
        "the daemon may not do what it must: run it as root or as the service holdfastd.service",
        metadata: ["missing": "\(missing.map(\.rawValue).joined(separator: " "))"])
      return 1
    }
    do {
      let kept = RestartStore.take(logger: logger)
      return try Daemon(inForce, kept: kept, logger: logger).run()
    } catch {
      logger.critical("the daemon cannot go on", metadata: ["error": "\(error)"])
      return 1
    }
  }

  /// That of the file. A daemon that is started again by its service manager, after a restart or a crash, goes on with the last good
  /// one when the file cannot be used: to end would cost its connections, or their protection.
  private static func configuration(_ path: String, _ logger: Logger) -> ConfigurationInForce? {
    let problem: ConfigurationError
    do throws(ConfigurationError) { return try ConfigurationInForce(path: path) } catch { problem = error }
    if ServiceManager.isPresent, let state = lastState(of: path) {
      do throws(ConfigurationError) {
        let inForce = try ConfigurationInForce(lastGood: state.text, of: path, problem: problem)
        logger.event(
          .lastGoodConfiguration, level: .error,
          "the configuration cannot be used: goes on with the last good one; correct the file and restart",
          metadata: ["file": "\(path)", "error": "\(problem)"])
        return inForce
      } catch {
        logger.error("the last good configuration cannot be used either", metadata: ["error": "\(error)"])
      }
    }
    logger.event(
      .configurationInvalid, level: .error, "the configuration cannot be used",
      metadata: ["file": "\(path)", "error": "\(problem)"])
    return nil
  }

  /// What the daemon before this one has written down, which ran with the same file.
  private static func lastState(of path: String) -> RuntimeState? {
    let path = ConfigurationInForce.absolute(path)
    let states = RuntimeStates(in: RuntimeStates.folders(runtime: nil, configuration: path), control: nil)
    return states.entries.first { $0.state.file == path && !$0.isAlive }?.state
  }
}
