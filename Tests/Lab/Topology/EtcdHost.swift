internal import Synchronization

/// A real etcd on the LAN, in the namespace that a topology has where it is asked for (10.77.0.20): one, or a cluster.
public final class EtcdHost: Sendable {
  private let namespace: Namespace
  private let folder: String
  private let isSecure: Bool
  private let members: Int
  private let running = Mutex<[Int: LabProcess]>([:])

  public static let port = 2379
  /// Where clients reach a member.
  public func endpoint(_ member: Int = 0) -> String {
    "\(isSecure ? "https" : "http")://\(Addresses.server):\(Self.port + 2 * member)"
  }
  private func peerURL(_ member: Int) -> String { "http://127.0.0.1:\(Self.port + 1 + 2 * member)" }

  /// Makes its certificates, and starts it.
  /// - Parameter isSecure: with TLS, and certificates that clients have to show.
  public init(in topology: Topology, isSecure: Bool = false, members: Int = 1) throws {
    guard let server = topology.server else { throw LabError("the topology has no host for etcd") }
    namespace = server
    self.isSecure = isSecure
    self.members = members
    folder = try Scratch.subfolder("etcd")
    if isSecure { try makeCertificates() }
    for member in 0..<members { try launch(member) }
    for member in 0..<members { try waitUntilHealthy(member) }
  }

  /// What a daemon's `[pair.solo]` says of it.
  public var configuration: String {
    let trust =
      isSecure
      ? "ca = \"\(folder)/ca.crt\"\ncertificate = \"\(folder)/client.crt\"\nkey = \"\(folder)/client.key\"\n" : ""
    let endpoints = (0..<members).map { "\"\(endpoint($0))\"" }.joined(separator: ", ")
    // A cluster takes a moment to find another leader.
    let times = members == 1 ? "lease = \"2s\"\ntimeout = \"500ms\"" : "lease = \"6s\"\ntimeout = \"2s\""
    return "arbiter = \"etcd\"\nendpoints = [\(endpoints)]\n\(times)\n\(trust)"
  }

  /// Starts it, or one of a cluster, again with what it had.
  public func start(_ member: Int = 0) throws {
    try launch(member)
    try waitUntilHealthy(member)
  }

  private func launch(_ member: Int) throws {
    let security =
      isSecure
      ? [
        "--cert-file", "\(folder)/server.crt", "--key-file", "\(folder)/server.key", "--trusted-ca-file",
        "\(folder)/ca.crt", "--client-cert-auth",
      ] : []
    let process = try LabProcess.start(
      "etcd",
      [
        "--name", "lab\(member)", "--data-dir", "\(folder)/data\(member)", "--listen-client-urls", endpoint(member),
        "--advertise-client-urls", endpoint(member), "--listen-peer-urls", peerURL(member),
        "--initial-advertise-peer-urls", peerURL(member), "--initial-cluster",
        (0..<members).map { "lab\($0)=\(peerURL($0))" }.joined(separator: ","),
      ] + security, in: namespace, logs: folder, name: "etcd\(member)")
    running.withLock { $0[member] = process }
  }

  private func waitUntilHealthy(_ member: Int) throws {
    guard let process = process(member) else { throw LabError("etcd was never started") }
    try wait(for: "etcd: \(process.standardError)", until: .seconds(30), every: 20) {
      guard process.isRunning else { throw LabError("etcd ended: \(process.standardError)") }
      return (try? control(at: endpoint(member), ["endpoint", "health"])) != nil
    }
  }

  public var process: LabProcess? { process(0) }
  public func process(_ member: Int) -> LabProcess? { running.withLock { $0[member] } }

  /// Ends it, or one of a cluster, as a host's death does.
  public func kill(_ member: Int = 0) {
    process(member)?.kill()
  }

  /// Runs `etcdctl`.
  @discardableResult
  public func control(_ arguments: String...) throws -> String {
    try control(at: (0..<members).map(endpoint).joined(separator: ","), arguments)
  }

  private func control(at endpoints: String, _ arguments: [String]) throws -> String {
    let security =
      isSecure
      ? ["--cacert", "\(folder)/ca.crt", "--cert", "\(folder)/client.crt", "--key", "\(folder)/client.key"] : []
    return try Tool.run(
      "env", ["ETCDCTL_API=3", "etcdctl", "--endpoints", endpoints] + security + arguments, in: namespace)
  }

  private func makeCertificates() throws {
    let ca = ["-CA", "\(folder)/ca.crt", "-CAkey", "\(folder)/ca.key"]
    try Tool.run(
      "openssl",
      [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
        "/CN=lab", "-keyout", "\(folder)/ca.key", "-out", "\(folder)/ca.crt",
      ])
    for name in ["server", "client"] {
      try Tool.run(
        "openssl",
        [
          "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=\(name)", "-keyout",
          "\(folder)/\(name).key", "-out", "\(folder)/\(name).csr",
        ])
      try Files.write(
        "subjectAltName=IP:\(Addresses.server),IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n",
        to: "\(folder)/\(name).ext")
      try Tool.run(
        "openssl",
        ["x509", "-req", "-in", "\(folder)/\(name).csr"] + ca + [
          "-CAcreateserial", "-days", "2", "-extfile", "\(folder)/\(name).ext", "-out", "\(folder)/\(name).crt",
        ])
    }
  }
}
