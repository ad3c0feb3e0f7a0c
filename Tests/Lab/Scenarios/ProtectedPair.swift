public import TCPModel

/// Two hosts with their daemons and the tests' application on both, synced and ready for connections.
public final class ProtectedPair {
  public let topology: Topology
  public let alpha: DaemonHost
  public let beta: DaemonHost
  private var servers: [HostName: LabProcess] = [:]

  /// The application's first port.
  public static let port: UInt16 = 7000

  /// - Parameter prepare: changes the hosts before anything is started in them.
  public convenience init(
    options: DaemonHost.Options = DaemonHost.Options(), withServer: Bool = false,
    prepare: (Topology) throws -> Void = { _ in }
  ) throws {
    try self.init(topology: Topology(withServer: withServer)) { topology in
      try prepare(topology)
      return options
    }
  }

  /// - Parameter prepare: changes the hosts before anything is started in them, and says how the daemons are configured.
  public init(topology: Topology, prepare: (Topology) throws -> DaemonHost.Options) throws {
    self.topology = topology
    let options = try prepare(topology)
    alpha = try DaemonHost(.alpha, in: topology, options: options)
    beta = try DaemonHost(.beta, in: topology, options: options)
    try alpha.start()
    try beta.start()
    try alpha.waitUntil(role: "active", replication: "synced")
    try beta.waitUntil(role: "standby")
  }

  public subscript(host: HostName) -> DaemonHost { host == .alpha ? alpha : beta }

  /// Starts the application on both hosts.
  public func startServers(_ options: [String] = [], onBeta: [String] = []) throws {
    for host in HostName.allCases { try startServer(on: host, host == .beta ? options + onBeta : options) }
  }

  public func startServer(on host: HostName, _ options: [String] = []) throws {
    let server = try LabProcess.start(
      Products.path(of: "pattern-server"),
      ["--port", "\(ProtectedPair.port)", "--control", self[host].controlPath] + options,
      in: topology[host], logs: self[host].folder, name: "pattern-server")
    servers[host] = server
    try wait(for: "the application on \(host): \(server.standardError)", until: .seconds(20)) {
      guard server.isRunning else { throw LabError("the application on \(host) ended: \(server.standardError)") }
      return server.standardOutput.contains("serving")
    }
  }

  public func server(on host: HostName) -> LabProcess? { servers[host] }

  /// What the application on a host has said.
  public func said(by host: HostName) -> [Substring] {
    servers[host]?.standardOutput.split(separator: "\n") ?? []
  }

  public func service(_ address: String = Addresses.service4) throws -> Endpoint {
    try Endpoint(address, ProtectedPair.port)
  }

  /// Starts connections and waits until the standby could continue each of them.
  public func connect(
    _ shape: Shape, address: String = Addresses.service4, connections: Int = 1,
    options: PatternClient.Options = PatternClient.Options()
  ) throws -> PatternClient {
    let client = try PatternClient(
      in: topology.client, to: service(address), shape: shape, connections: connections, options: options)
    // Asking for a list of a thousand costs the daemon more than their packets do.
    let interval = UInt32(20 + connections / 2)
    try wait(for: "\(connections) protected \(shape) connections\(explanation)", until: .seconds(60), every: interval) {
      if let failure = client.progress.firstFailure { throw LabError("\(failure)\(explanation)") }
      guard client.progress.connected == connections else { return false }
      let port = ProtectedPair.port + shape.portOffset
      return try alpha.connections().count { $0.protected && $0.local.hasSuffix(":\(port)") } >= connections
    }
    return client
  }

  /// The logs of all, for an error that needs them.
  public var explanation: String {
    HostName.allCases.map { host in
      "\n--- \(host)'s daemon:\n\(self[host].log)\n--- \(host)'s application:\n"
        + said(by: host).suffix(20).joined(separator: "\n") + (servers[host]?.standardError ?? "")
    }.joined()
  }

  /// Waits for a host's takeover to be complete.
  @discardableResult
  public func waitForTakeover(by host: HostName = .beta, seconds: Double = 30) throws -> TakeoverSummary {
    try wait(for: "\(host)'s takeover\(explanation)", until: .seconds(seconds)) { self[host].takeover != nil }
    guard let takeover = self[host].takeover else { throw LabError("the summary is gone") }
    return takeover
  }

  /// Brings a host that had crashed back, as standby of the other one, with its application.
  public func revive(_ host: HostName) throws {
    try topology.revive(host)
    try self[host].start()
    try startServer(on: host)
    try waitUntilSynced(active: host.other)
  }

  /// Waits until a host is active and the other one could continue everything.
  public func waitUntilSynced(active host: HostName) throws {
    try self[host].waitUntil(role: "active", replication: "synced")
    try self[host.other].waitUntil(role: "standby", replication: "synced")
  }

  /// Waits until each of the client's connections has come `bytes` further.
  public func waitForProgress(_ client: PatternClient, bytes: UInt64 = 64 * 20, seconds: Double = 30) throws {
    let least = client.progress.least
    try wait(for: "\(bytes) more bytes of \(client.shape)\(explanation)", until: .seconds(seconds)) {
      if let failure = client.progress.firstFailure { throw LabError("\(failure)\(explanation)") }
      return client.progress.least >= least + bytes
    }
  }
}
