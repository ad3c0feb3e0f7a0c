internal import Glibc
internal import Lab
internal import TCPModel

/// One way from the client to a server on alpha: nothing between them, a gate, a proxy. Each has hosts of its own, all alike, so
/// that none is in another's way and they can be measured in turn.
final class Subject {
  let name: String
  private let topology: Topology
  /// Where the client connects to.
  private let address: String
  private let listener: TCPSocket
  /// The daemon that protects each connection.
  private let control: ControlClient?
  /// What must live as long as the subject.
  private let parts: [AnyObject]

  private static let port: UInt16 = 7100

  private init(
    _ name: String, _ topology: Topology, address: String = Addresses.alpha, server: Namespace? = nil,
    control: ControlClient? = nil, parts: [AnyObject] = []
  ) throws {
    self.name = name
    self.topology = topology
    self.address = address
    self.control = control
    self.parts = parts
    listener = try (server ?? topology.alpha).run { try TCPSocket.listen(on: Endpoint("0.0.0.0", Subject.port)) }
  }

  static func plain() throws -> Subject {
    try Subject("plain TCP", Topology())
  }

  static func referenceGate() throws -> Subject {
    let topology = try Topology()
    let program = try Products.path(of: "reference-gate")
    let replica = try LabProcess.start(program, ["replica", "10.78.0.2", "7411"], in: topology.beta)
    try wait(for: "the replica: \(replica.standardError)", until: .seconds(10)) {
      replica.standardOutput.contains("listening")
    }
    let gate = try LabProcess.start(program, ["hold", "10.78.0.2", "7411", "0", "1"], in: topology.alpha)
    try wait(for: "the reference gate: \(gate.standardError)", until: .seconds(10)) {
      gate.standardOutput.contains("holding")
    }
    for (chain, side, queue) in [("PREROUTING", "--dport", "0"), ("POSTROUTING", "--sport", "1")] {
      try Tool.run(
        "iptables",
        ["-t", "mangle", "-A", chain, "-p", "tcp", side, "\(port)", "-j", "NFQUEUE", "--queue-num", queue],
        in: topology.alpha)
    }
    return try Subject("reference gate", topology, parts: [replica, gate])
  }

  /// - Parameter folder: where the daemon was built; nil for the folder of this program.
  static func holdfast(folder: String? = nil, security: DaemonHost.Security = .plaintext) throws -> Subject {
    var options = DaemonHost.Options()
    options.security = security
    options.program = folder.map { "\($0)/holdfastd" }
    let pair = try ProtectedPair(options: options)
    let name = if case .tls = security { "Holdfast, TLS" } else { folder == nil ? "Holdfast" : "Holdfast before" }
    return try Subject(
      name, pair.topology, address: Addresses.service4,
      control: pair.alpha.control(), parts: [pair])
  }

  /// What a user would otherwise put in front of a server; nil when it is not installed. It runs on beta.
  /// - Parameter splicing: it has the kernel move the bytes (splice(2)), both ways.
  static func haproxy(splicing: Bool = false) throws -> Subject? {
    guard let program = try? Tool.path(of: "haproxy") else { return nil }
    let topology = try Topology()
    let file = try Scratch.subfolder("haproxy") + "/haproxy.cfg"
    try Files.write(
      """
      defaults
        mode tcp
        timeout connect 10s
        timeout client 60s
        timeout server 60s
        \(splicing ? "option splice-request\n  option splice-response" : "")
      listen bench
        bind \(Addresses.beta):\(port)
        server alpha \(Addresses.alpha):\(port)

      """, to: file)
    let proxy = try LabProcess.start(program, ["-db", "-f", file], in: topology.beta)
    try waitUntilListening(proxy, topology.beta)
    return try Subject(
      splicing ? "HAProxy, splice" : "HAProxy", topology, address: Addresses.beta, parts: [proxy])
  }

  /// Our own in its place, without a daemon.
  static func proxy() throws -> Subject {
    let topology = try Topology()
    let folder = try Scratch.subfolder("proxy")
    try Files.write(
      """
      [proxy]
      control = "\(folder)/nobody.sock"

      [[frontend]]
      name = "bench"
      listen = ["\(Addresses.beta):\(port)"]
      backend = "bench"

      [[backend]]
      name = "bench"
      servers = ["\(Addresses.alpha):\(port)"]
      check = "none"

      """, to: "\(folder)/holdfast-proxy.toml")
    let proxy = try LabProcess.start(
      Products.path(of: "holdfast-proxy"), ["--config", "\(folder)/holdfast-proxy.toml"], in: topology.beta)
    try waitUntilListening(proxy, topology.beta)
    return try Subject("holdfast-proxy", topology, address: Addresses.beta, parts: [proxy])
  }

  /// On the active host of a pair, both legs registered, in front of a server on a host of its own.
  static func protectedProxy() throws -> Subject {
    var options = ProxiedPair.Options()
    options.backend = "check = \"none\""
    options.proxy = "unprotected = \"refuse\""
    let lab = try ProxiedPair(ports: [port], options)
    return try Subject(
      "holdfast-proxy, protected", lab.pair.topology, address: Addresses.service4, server: lab.server, parts: [lab])
  }

  private static func waitUntilListening(_ program: LabProcess, _ host: Namespace) throws {
    try wait(for: "\(program.name): \(program.standardError)", until: .seconds(10)) {
      guard program.isRunning else { throw LabError("\(program.name) ended: \(program.standardError)") }
      return try Tool.run("ss", ["-Htln", "sport = :\(port)"], in: host).contains("LISTEN")
    }
  }

  /// A new connection through the subject, protected if there is a daemon.
  /// - Parameter congestionControl: of both ends. What a proxy or a daemon opens itself has the host's default.
  private func connect(_ congestionControl: String) throws -> (client: TCPSocket, server: TCPSocket) {
    let client = try topology.client.run { try TCPSocket.connect(to: Endpoint(address, Subject.port)) }
    var accepted: TCPSocket?
    try wait(for: "a connection through \(name)", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    guard let server = accepted else { throw LabError("\(name): no connection") }
    for socket in [client, server] { try socket.setCongestionControl(congestionControl) }
    if let control {
      let result: RegisterResult = try control.call(
        "Register", RegisterParameters(service: "bench"), descriptors: [server.number])
      guard result.protected else { throw LabError("\(name): not protected: \(result.reason ?? "no reason given")") }
    }
    return (client, server)
  }

  /// Bits a second from the client to the server.
  func upload(_ congestionControl: String, seconds: Double) throws -> Double {
    let (client, server) = try connect(congestionControl)
    return try MeasuredTraffic.bulk(from: client, to: server, seconds: seconds)
  }

  /// Bits a second from the server to the client.
  func download(_ congestionControl: String, seconds: Double) throws -> Double {
    let (client, server) = try connect(congestionControl)
    return try MeasuredTraffic.bulk(from: server, to: client, seconds: seconds)
  }

  /// Round trips of 64 bytes, ns, sorted.
  func pingPong(_ congestionControl: String, seconds: Double) throws -> [UInt64] {
    let (client, server) = try connect(congestionControl)
    return try MeasuredTraffic.pingPong(from: client, to: server, seconds: seconds)
  }
}
