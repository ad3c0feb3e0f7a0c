internal import Synchronization

/// A real etcd on the LAN, in the namespace that a topology has where it is asked for (10.77.0.20).
public final class EtcdHost: Sendable {
  private let namespace: Namespace
  private let folder: String
  private let isSecure: Bool
  private let running = Mutex<LabProcess?>(nil)

  public static let port = 2379
  public var endpoint: String { "\(isSecure ? "https" : "http")://\(Addresses.server):\(Self.port)" }

  /// Makes its certificates, and starts it.
  /// - Parameter isSecure: with TLS, and certificates that clients have to show.
  public init(in topology: Topology, isSecure: Bool = false) throws {
    guard let server = topology.server else { throw LabError("the topology has no host for etcd") }
    namespace = server
    self.isSecure = isSecure
    folder = try Scratch.subfolder("etcd")
    if isSecure { try makeCertificates() }
    try start()
  }

  /// What a daemon's `[pair.solo]` says of it.
  public var configuration: String {
    let trust =
      isSecure
      ? "ca = \"\(folder)/ca.crt\"\ncertificate = \"\(folder)/client.crt\"\nkey = \"\(folder)/client.key\"\n" : ""
    return "arbiter = \"etcd\"\nendpoints = [\"\(endpoint)\"]\nlease = \"2s\"\ntimeout = \"500ms\"\n\(trust)"
  }

  /// Starts it, again with what it had.
  public func start() throws {
    let security =
      isSecure
      ? [
        "--cert-file", "\(folder)/server.crt", "--key-file", "\(folder)/server.key", "--trusted-ca-file",
        "\(folder)/ca.crt", "--client-cert-auth",
      ] : []
    let process = try LabProcess.start(
      "etcd",
      [
        "--name", "lab", "--data-dir", "\(folder)/data", "--listen-client-urls", endpoint, "--advertise-client-urls",
        endpoint, "--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls",
        "http://127.0.0.1:2380", "--initial-cluster", "lab=http://127.0.0.1:2380",
      ] + security, in: namespace, logs: folder, name: "etcd")
    running.withLock { $0 = process }
    try wait(for: "etcd: \(process.standardError)", until: .seconds(30), every: 20) {
      guard process.isRunning else { throw LabError("etcd ended: \(process.standardError)") }
      return (try? control("endpoint", "health")) != nil
    }
  }

  public var process: LabProcess? { running.withLock { $0 } }

  /// Ends it as a host's death does.
  public func kill() {
    process?.kill()
  }

  /// Runs `etcdctl`.
  @discardableResult
  public func control(_ arguments: String...) throws -> String {
    let security =
      isSecure
      ? ["--cacert", "\(folder)/ca.crt", "--cert", "\(folder)/client.crt", "--key", "\(folder)/client.key"] : []
    return try Tool.run(
      "env", ["ETCDCTL_API=3", "etcdctl", "--endpoints", endpoint] + security + arguments, in: namespace)
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
