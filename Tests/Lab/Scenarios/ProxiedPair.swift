internal import Glibc

/// Two hosts with a proxy each in front of somebody else's server: neither the client nor the server knows of Holdfast.
public final class ProxiedPair {
  public let pair: ProtectedPair
  public let server: Namespace
  /// For configurations and data of the programs that the test runs.
  public let folder: String
  /// The host that has the sessions, and those that are cut off.
  public private(set) var active = HostName.alpha
  private var dead: Set<HostName> = []
  private var proxies: [HostName: LabProcess] = [:]
  private var programs: [LabProcess] = []

  /// What a test may want to be different.
  public struct Options {
    /// Further lines of each backend's table, of each frontend's, and of the proxy's.
    public var backend = ""
    public var frontend = ""
    public var proxy = ""
    /// Of each backend, without ports.
    public var servers = [Addresses.server]
    public var daemon = DaemonHost.Options()
    /// Changes the hosts before anything is started in them.
    public var prepare: (Topology) throws -> Void = { _ in }

    public init() {
      // How soon a death is noticed is no concern of the proxy's; a small machine that is busy must not look like a dead host.
      daemon.deadAfter = "2s"
      daemon.exposeAfter = "3s"
    }
  }

  /// Starts the server's host and everything but the server: `serve` does that, before any client comes.
  /// - Parameter port: of the service and of the server.
  public convenience init(port: UInt16, backend: String = "", frontend: String = "") throws {
    var options = Options()
    options.backend = backend
    options.frontend = frontend
    try self.init(ports: [port], options)
  }

  /// - Parameter ports: a frontend and a backend each.
  public init(ports: [UInt16], _ options: Options) throws {
    pair = try ProtectedPair(options: options.daemon, withServer: true, prepare: options.prepare)
    guard let server = pair.topology.server else { throw LabError("the topology has no server") }
    self.server = server
    folder = try Scratch.subfolder("server")
    for host in HostName.allCases {
      try Files.write(
        ProxiedPair.configuration(ports, options, control: pair[host].controlPath),
        to: "\(pair[host].folder)/holdfast-proxy.toml")
      try startProxy(on: host)
    }
  }

  private static func configuration(_ ports: [UInt16], _ options: Options, control: String) -> String {
    "[proxy]\ncontrol = \"\(control)\"\n\(options.proxy)\n"
      + ports.map { port in
        """

        [[frontend]]
        name = "front-\(port)"
        listen = ["\(Addresses.service4):\(port)", "[\(Addresses.service6)]:\(port)"]
        backend = "back-\(port)"
        \(options.frontend)

        [[backend]]
        name = "back-\(port)"
        servers = [\(options.servers.map { "\"\($0):\(port)\"" }.joined(separator: ", "))]
        source = ["\(Addresses.service4)"]
        \(options.backend)

        """
      }.joined()
  }

  /// Starts the proxy on a host, again where one ran, and waits until it listens.
  public func startProxy(on host: HostName) throws {
    let daemon = pair[host]
    let proxy = try LabProcess.start(
      Products.path(of: "holdfast-proxy"),
      ["--config", "\(daemon.folder)/holdfast-proxy.toml", "--log-level", "debug"],
      in: daemon.namespace, logs: daemon.folder, name: "holdfast-proxy")
    proxies[host] = proxy
    try wait(for: "\(host)'s proxy: \(proxy.standardError)", until: .seconds(20)) {
      guard proxy.isRunning else { throw LabError("\(host)'s proxy ended: \(proxy.standardError)") }
      return proxy.standardError.contains("serving")
    }
  }

  public func proxy(on host: HostName) -> LabProcess? { proxies[host] }

  /// Starts a program on the server's host and waits until it listens.
  @discardableResult
  public func serve(_ program: String, _ arguments: [String], port: UInt16) throws -> LabProcess {
    let process = try LabProcess.start(program, arguments, in: server, logs: folder, name: "server")
    programs.append(process)
    try wait(for: "\(program) to listen: \(process.standardError)", until: .seconds(30)) {
      guard process.isRunning else {
        throw LabError("\(program) ended: \(process.standardError)\(process.standardOutput)")
      }
      return try Tool.run("ss", ["-Htln", "sport = :\(port)"], in: server).contains("LISTEN")
    }
    return process
  }

  /// Starts a program on the client's host.
  public func client(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], input: [UInt8]? = nil
  ) throws -> LabProcess {
    let process = try LabProcess.start(
      program, arguments, in: pair.topology.client, environment: environment, input: input)
    programs.append(process)
    return process
  }

  /// Waits until so many sessions are protected with both legs.
  public func waitForSessions(_ count: Int) throws {
    try wait(for: "\(count) protected sessions\(explanation)", until: .seconds(30), every: 10) {
      try pair[active].connections().count { $0.protected } >= 2 * count
    }
  }

  /// Waits until each leg of each session has heard something new from its peer.
  public func waitForWords() throws {
    func received() throws -> [String: UInt64] {
      Dictionary(
        try pair[active].connections().map { ($0.id, UInt64($0.received)) }, uniquingKeysWith: { first, _ in first })
    }
    let before = try received()
    try wait(for: "a word from each peer\(explanation)", until: .seconds(30), every: 20) {
      let now = try received()
      return before.allSatisfy { id, count in (now[id] ?? 0) > count }
    }
  }

  /// Crashes the active host and waits for the other to have gone on with everything. A host that was cut off before comes back
  /// first, as its standby, so that it can be called again and again.
  @discardableResult
  public func crash() throws -> TakeoverSummary {
    if !dead.isEmpty { try revive() }
    try pair.topology.crash(active)
    dead.insert(active)
    active = active.other
    let takeover = try pair.waitForTakeover(by: active)
    guard takeover.lostConnections == 0, takeover.restoredConnections > 0 else {
      throw LabError("\(takeover.restoredConnections) restored, \(takeover.lostConnections) lost\(explanation)")
    }
    return takeover
  }

  /// Brings the host that was cut off back, with its proxy, and waits until it could go on with everything.
  public func revive() throws {
    for host in dead {
      try pair.topology.revive(host)
      try pair[host].start()
      try startProxy(on: host)
    }
    dead = []
    try pair.waitUntilSynced(active: active)
  }

  /// Crashes the active host again and again: alpha, then beta, then alpha.
  /// - Parameters:
  ///   - program: it is stopped while a host comes back, for those whose work would be over by then.
  ///   - progress: called before each crash; comes back when the work has gone on.
  public func crash(
    times: Int, holding program: LabProcess? = nil, after progress: (_ round: Int) throws -> Void
  ) throws {
    for round in 0..<times {
      if !dead.isEmpty {
        program?.signal(SIGSTOP)
        do { try revive() } catch {
          program?.signal(SIGCONT)
          throw error
        }
        program?.signal(SIGCONT)
      }
      try progress(round)
      try crash()
    }
  }

  /// What all have said, for an error that needs it.
  public var explanation: String {
    pair.explanation
      + HostName.allCases.map { "\n--- \($0)'s proxy:\n" + (proxies[$0]?.standardError.suffix(4000) ?? "") }.joined()
      + programs.map { "\n--- \($0.name), \($0.isRunning ? "running" : "ended"):\n\($0.standardError.suffix(2000))" }
      .joined()
  }
}
