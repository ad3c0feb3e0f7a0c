internal import DaemonSupport
internal import LinuxNetwork
package import Logging

/// Takes this host out of service while no daemon runs: after a crash it would answer beside the host that has taken over.
///
/// The addresses are those of the configuration and those that the daemon has written down (`RuntimeState`); one of the two is enough.
/// The packets of the connections are dropped as it is, by what a daemon that crashed leaves in the kernel.
package struct HostFence {
  private let path: String
  private let configuration: Result<Configuration, ConfigurationError>
  private let states: RuntimeStates
  private let mine: [RuntimeStates.Entry]
  private let logger: Logger

  /// - Parameters:
  ///   - path: the configuration's.
  ///   - runtime: the folder with what the daemon has written down; nil to look where it may be.
  package init(path: String, runtime: String?, logger: Logger) {
    self.path = path
    self.logger = logger
    configuration = Result { () throws(ConfigurationError) in try Configuration.load(path: path, checkingKeys: false) }
    let control = try? configuration.get().node.control
    states = RuntimeStates(in: RuntimeStates.folders(runtime: runtime, configuration: path), control: control)
    mine = states.of(configuration: ConfigurationInForce.absolute(path), control: control)
  }

  /// - Returns: the exit status: 0 when no address is left.
  package func run() -> Int32 {
    if let control = runningDaemon {
      logger.error(
        "a daemon runs: it sees to the addresses itself; move its connections with holdfastctl switchover, or stop it",
        metadata: ["file": "\(control)"])
      return 1
    }
    for (file, reason) in states.unreadable {
      logger.warning(
        "cannot read what the daemon has written down", metadata: ["file": "\(file.path)", "error": "\(reason)"])
    }
    if case .failure(let error) = configuration {
      guard !mine.isEmpty else {
        logger.event(
          .configurationInvalid, level: .error,
          "the configuration cannot be used, and no daemon has written down its addresses: remove them by hand (ip addr del)",
          metadata: ["file": "\(path)", "error": "\(error)"])
        return 1
      }
      logger.event(
        .configurationInvalid, level: .warning,
        "the configuration cannot be used: takes the addresses from what the daemon has written down",
        metadata: ["file": "\(mine.map(\.file.path).joined(separator: ", "))", "error": "\(error)"])
    }
    return AddressWithdrawal.remove(pairs, because: "the daemon is gone", logger: logger).isEmpty ? 0 : 1
  }

  /// Removes what a daemon of this configuration has left behind when it crashed, and nothing where none has.
  package func runIfLeftBehind() {
    if runningDaemon == nil, mine.contains(where: { $0.state.file == ConfigurationInForce.absolute(path) }) {
      _ = run()
    }
  }

  /// The control socket at which a daemon answers that has these addresses.
  private var runningDaemon: String? {
    if let alive = mine.first(where: \.isAlive) { return alive.state.control }
    switch configuration {
    case .success(let configuration):
      let control = configuration.node.control
      return RuntimeStates.answers(control) ? control : nil
    case .failure:
      // What the only daemon there is has is not this one's to take away.
      return mine.isEmpty ? states.entries.first(where: \.isAlive)?.state.control : nil
    }
  }

  /// Every address once, and none that a daemon has that runs with another configuration.
  private var pairs: [RuntimeState.Pair] {
    var known = Set(states.entries.filter(\.isAlive).flatMap(\.state.addresses))
    let configured =
      (try? configuration.get().pairs.map { RuntimeState.Pair(name: $0.name, addresses: $0.addresses) }) ?? []
    return (configured + mine.flatMap(\.state.pairs)).map { pair in
      RuntimeState.Pair(name: pair.name, addresses: pair.addresses.filter { known.insert($0).inserted })
    }
  }
}
