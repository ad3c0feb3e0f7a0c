internal import Glibc
internal import Synchronization

/// One host of the pair with its daemon, configured by a file as a user would write it.
public final class DaemonHost: Sendable {
  /// What a test may want to be different.
  public struct Options: Sendable {
    /// `allow` or `hold`: whether the active host goes on when no standby follows.
    public var soloPolicy = "allow"
    public var exposeAfter = "500ms"
    /// Who is asked before it does.
    public var arbiter = "arbiter = \"none\""
    public var heartbeatInterval = "50ms"
    public var deadAfter = "200ms"
    public var security = Security.plaintext
    /// Has the daemon keep its epoch where a service manager would have it do so (STATE_DIRECTORY).
    public var keepsState = false
    public var restartPatience = "10s"
    /// Whether the test plays the service manager, which keeps descriptors from one start to the next.
    public var isManaged = false
    /// Further lines of the node's table.
    public var node = ""
    /// Further lines of the pair's own table.
    public var pair = ""
    /// Lines for the end of the file.
    public var more = ""
    /// The daemon's program; `nil` for the one that was built with this.
    public var program: String?

    public init() {}
  }

  /// What protects the channel between the hosts.
  public enum Security: Sendable {
    case plaintext
    /// Each host pins the other's certificate, as `holdfastctl keygen` made it, and these.
    case tls(alsoPinned: [String] = [])
  }

  public let name: HostName
  public let namespace: Namespace
  /// Holds the configuration, the control socket and the logs.
  public let folder: String
  private let program: String?
  private let keepsState: Bool
  /// nil unless asked for.
  public let manager: NotifySocket?
  private let daemon = Mutex<LabProcess?>(nil)

  public var configurationPath: String { "\(folder)/holdfastd.toml" }
  public var controlPath: String { "\(folder)/control.sock" }

  /// Writes the configuration; starts nothing.
  public init(_ name: HostName, in topology: Topology, options: Options = Options()) throws {
    self.name = name
    namespace = topology[name]
    program = options.program
    keepsState = options.keepsState
    folder = try Scratch.subfolder(name.rawValue)
    manager = options.isManaged ? try NotifySocket(path: "\(folder)/manager") : nil
    try Files.write(try DaemonHost.configuration(name, control: controlPath, options), to: configurationPath)
  }

  private static func configuration(_ name: HostName, control: String, _ options: Options) throws -> String {
    let (own, other) = (name.digit, name.other.digit)
    let security =
      switch options.security {
      case .plaintext: "security = \"none\""
      case .tls(let alsoPinned): try HostKeys.of(name).lines(for: HostKeys.of(name.other), alsoPinned)
      }
    return """
      [node]
      name = "\(name)"
      control = "\(control)"
      \(options.node)

      [[pair]]
      name = "web"
      addresses = ["\(Addresses.service4)/24 dev eth0", "\(Addresses.service6)/64 dev eth0"]
      prefer = "\(name == .alpha ? "active" : "standby")"
      \(options.pair)

      [pair.replication]
      local = "10.78.0.\(own):7411"
      peer = "10.78.0.\(other):7411"
      \(security)

      [pair.heartbeat]
      paths = [
        { local = "10.78.0.\(own):7412", peer = "10.78.0.\(other):7412" },
        { local = "10.77.0.\(own):7412", peer = "10.77.0.\(other):7412" },
      ]
      interval = "\(options.heartbeatInterval)"
      dead_after = "\(options.deadAfter)"
      restart_patience = "\(options.restartPatience)"

      [pair.solo]
      \(options.arbiter)
      policy = "\(options.soloPolicy)"
      expose_after = "\(options.exposeAfter)"
      \(options.more)

      """
  }

  /// Starts the daemon and waits until its control socket answers.
  public func start(environment: [String: String] = [:]) throws {
    var environment = environment.merging(keepsState ? ["STATE_DIRECTORY": folder] : [:]) { given, _ in given }
    if let manager { environment["NOTIFY_SOCKET"] = manager.path }
    let process = try LabProcess.start(
      program ?? Products.path(of: "holdfastd"), ["--config", configurationPath], in: namespace,
      environment: environment, logs: folder, name: "holdfastd", passing: manager?.stored ?? [])
    daemon.withLock { $0 = process }
    try Lab.wait(for: "\(name)'s daemon to answer: \(process.standardError)", until: .seconds(20)) {
      guard process.isRunning else {
        throw LabError("\(name)'s daemon ended with status \(process.exitStatus ?? -1): \(process.standardError)")
      }
      return (try? status()) != nil
    }
  }

  /// The daemon's process.
  public var process: LabProcess? { daemon.withLock { $0 } }

  /// What the daemon has logged.
  public var log: String { process?.standardError ?? "" }

  public func control() throws -> ControlClient { try ControlClient(path: controlPath) }

  public func status() throws -> DaemonStatus { try control().call("GetStatus", Nothing()) }

  public func connections() throws -> [ControlledConnection] {
    let list: ConnectionList = try control().call("ListConnections", Nothing())
    return list.connections
  }

  /// Waits until the pair has come to a role, and to a replication state if one is named.
  public func waitUntil(role: String, replication: String? = nil, seconds: Double = 20) throws {
    do {
      try Lab.wait(for: "", until: .seconds(seconds)) {
        guard let pair = try? status().pairs.first else { return false }
        return pair.role == role && (replication == nil || pair.replication == replication)
      }
    } catch {
      let last = try? status().pairs.first
      throw LabError(
        "\(name) did not become \(role) \(replication ?? ""): it is \(last.map { "\($0)" } ?? "silent"); its log:\n\(log)"
      )
    }
  }

  /// The daemon's entry about its takeover, once it is there.
  public var takeover: TakeoverSummary? { TakeoverSummary(log: log) }
}
