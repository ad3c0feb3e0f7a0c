internal import Glibc

/// Two hosts with a proxy each in front of somebody else's server: neither the client nor the server knows of Holdfast.
public final class ProxiedPair {
  public let pair: ProtectedPair
  public let server: Namespace
  /// For configurations and data of the programs that the test runs.
  public let folder: String
  private var proxies: [HostName: LabProcess] = [:]
  private var programs: [LabProcess] = []

  /// Starts the server's host and everything but the server: `serve` does that, before any client comes.
  /// - Parameters:
  ///   - port: of the service and of the server.
  ///   - backend: further lines of the backend's table.
  public init(port: UInt16, backend: String = "", frontend: String = "") throws {
    pair = try ProtectedPair(withServer: true)
    guard let server = pair.topology.server else { throw LabError("the topology has no server") }
    self.server = server
    folder = try Scratch.subfolder("server")
    for host in HostName.allCases {
      let daemon = pair[host]
      try Files.write(
        """
        [proxy]
        control = "\(daemon.controlPath)"

        [[frontend]]
        name = "front"
        listen = ["\(Addresses.service4):\(port)", "[\(Addresses.service6)]:\(port)"]
        backend = "back"
        \(frontend)

        [[backend]]
        name = "back"
        servers = ["\(Addresses.server):\(port)"]
        source = ["\(Addresses.service4)"]
        \(backend)

        """, to: "\(daemon.folder)/holdfast-proxy.toml")
      try startProxy(on: host)
    }
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
      try pair.alpha.connections().count { $0.protected } >= 2 * count
    }
  }

  /// Crashes the active host and waits for the other to have gone on with everything.
  @discardableResult
  public func crash() throws -> TakeoverSummary {
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    guard takeover.lostConnections == 0, takeover.restoredConnections > 0 else {
      throw LabError("\(takeover.restoredConnections) restored, \(takeover.lostConnections) lost\(explanation)")
    }
    return takeover
  }

  /// What all have said, for an error that needs it.
  public var explanation: String {
    pair.explanation
      + HostName.allCases.map { "\n--- \($0)'s proxy:\n" + (proxies[$0]?.standardError.suffix(4000) ?? "") }.joined()
  }
}
