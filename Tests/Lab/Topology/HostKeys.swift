internal import Synchronization

/// A host's key and certificate, made as its operator would; the same in all topologies of a process.
public struct HostKeys: Sendable {
  public let key: String
  public let certificate: String
  /// `sha256:…`, as the peer's configuration takes it.
  public let fingerprint: String

  private static let made = Mutex<[HostName: HostKeys]>([:])

  public static func of(_ host: HostName) throws -> HostKeys {
    try made.withLock { made in
      if let keys = made[host] { return keys }
      let keys = try HostKeys(host.rawValue)
      made[host] = keys
      return keys
    }
  }

  /// Runs `holdfastctl keygen`.
  public init(_ name: String) throws {
    let folder = try Scratch.subfolder("\(name)-keys")
    key = "\(folder)/\(name).key"
    certificate = "\(folder)/\(name).crt"
    let said = try Tool.run(
      Products.path(of: "holdfastctl"), ["keygen", "--key", key, "--certificate", certificate])
    guard let line = said.split(separator: "\n").last(where: { $0.hasPrefix("peer_fingerprint = ") }),
      let fingerprint = line.split(separator: "\"").dropFirst().first
    else { throw LabError("holdfastctl keygen said: \(said)") }
    self.fingerprint = String(fingerprint)
  }

  /// What the configuration of their host says under `[pair.replication]`.
  func lines(for peer: HostKeys, _ others: [String]) -> String {
    let pins = ([peer.fingerprint] + others).map { "\"\($0)\"" }.joined(separator: ", ")
    return """
      certificate = "\(certificate)"
      key = "\(key)"
      peer_fingerprint = \(others.isEmpty ? pins : "[\(pins)]")
      """
  }
}
