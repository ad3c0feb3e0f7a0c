public import DaemonSupport
package import TLSTransport

extension Configuration {
  private static let topKeys = ["node", "pair", "service"]

  /// Reads and checks the file, and the keys that it names.
  /// - Parameter checkingKeys: false for what has to be done even when they cannot be used.
  public static func load(path: String, checkingKeys: Bool = true) throws(ConfigurationError) -> Configuration {
    let configuration = try ConfigurationFile.read(path: path, known: topKeys) { root throws(ConfigurationError) in
      try Configuration(root)
    }
    if checkingKeys { try configuration.checkKeys(file: path) }
    return configuration
  }

  /// Checks `text`; errors name `file`.
  public static func parse(_ text: String, file: String) throws(ConfigurationError) -> Configuration {
    try ConfigurationFile.parse(text, file: file, known: topKeys) { root throws(ConfigurationError) in
      try Configuration(root)
    }
  }

  /// That every pair can show its certificate.
  package func checkKeys(file: String) throws(ConfigurationError) {
    for (index, pair) in pairs.enumerated() {
      guard case .tls(let trust) = pair.replication.security else { continue }
      func mistake(_ key: String, _ text: String) -> ConfigurationError {
        ConfigurationError(file: file, key: "pair[\(index)].replication.\(key)", problem: .conflict(text))
      }
      let identity: TLSIdentity
      do { identity = try trust.identity() } catch {
        switch error {
        case .certificate(let problem): throw mistake("certificate", "\(trust.certificate) \(problem)")
        case .key(let problem): throw mistake("key", "\(trust.key) \(problem)")
        }
      }
      if trust.peers.contains(identity.fingerprint) {
        throw mistake("peer_fingerprint", "is that of this host's own certificate; that of the other host's is needed")
      }
    }
  }

  private init(_ root: TableReader) throws(ConfigurationError) {
    let nodeKeys = [
      "name", "control", "control_mode", "control_group", "mark_mask", "owned_table", "queue_base", "adopt_timeout",
      "connections_per_user",
    ]
    guard let node = try root.table("node", known: nodeKeys) else {
      throw root.error("node", .missing(expected: "the table [node]"))
    }
    self.init(node: try Node(node), pairs: [])
    let readers = try root.tables(
      "pair",
      known: [
        "name", "addresses", "prefer", "on_stop", "announce_refresh", "track_links", "link_down_after", "witnesses",
        "replication",
        "heartbeat", "solo",
      ])
    guard !readers.isEmpty else { throw root.error("pair", .missing(expected: "at least one table [[pair]]")) }
    for reader in readers { pairs.append(try Pair(reader)) }
    try checkPairs(readers)
    try checkResources(node)
    for reader in try root.tables("service", known: ["name", "on_exit", "hold", "connections"]) {
      let (name, service) = try Service.read(reader)
      guard services.updateValue(service, forKey: name) == nil else {
        throw reader.error("name", .conflict("there are two tables for service \"\(name)\""))
      }
    }
  }
}

extension Configuration.Pair.Trust {
  /// Reads the certificate and the key.
  package func identity() throws(TLSIdentityError) -> TLSIdentity {
    try TLSIdentity(certificatePath: certificate, keyPath: key)
  }
}
