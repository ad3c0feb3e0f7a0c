internal import DaemonSupport
internal import Glibc
public import Logging
internal import SystemCalls

/// From a command line to a running proxy. Both ways return the exit status and have said why it is not 0.
public enum ProxyStart {
  /// Checks the configuration, and says what is wrong with it.
  public static func check(path: String) -> Int32 {
    ConfigurationFile.check { () throws(ConfigurationError) in _ = try ProxyConfiguration.load(path: path) }
  }

  /// Runs the proxy until it is told to end.
  public static func run(path: String, level: Logger.Level) -> Int32 {
    let logger = Logger(label: "holdfast-proxy") { _ in DaemonLogHandler(level: level, identifier: "holdfast-proxy") }
    let configuration: ProxyConfiguration
    do {
      configuration = try ProxyConfiguration.load(path: path)
    } catch {
      logger.error("the configuration cannot be used", metadata: ["file": "\(path)", "error": "\(error)"])
      return 1
    }
    // Before any thread exists, so that all of them leave the signals to this one.
    signal(SIGPIPE, SIG_IGN)
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGTERM, SIGINT] { sigaddset(&signals, number) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    do {
      try ResourceLimits.raiseDescriptors()
      return try Proxy(configuration, logger: logger).run(until: signals)
    } catch {
      logger.critical("the proxy cannot go on", metadata: ["error": "\(error)"])
      return 1
    }
  }
}
