internal import DaemonSupport
internal import Glibc
internal import LinuxNetwork
internal import TLSTransport

extension Configuration.Pair {
  init(_ table: TableReader) throws(ConfigurationError) {
    let name = try table.name("name")
    let form = "an array of addresses such as \"10.77.0.100/24 dev eth0\""
    var addresses: [ServiceAddress] = []
    for (text, key) in try table.strings("addresses", expected: form) {
      do {
        addresses.append(try ServiceAddress(text))
      } catch {
        throw table.error(key, .badValue(expected: "an address such as \"10.77.0.100/24 dev eth0\"", found: "\(error)"))
      }
    }
    guard !addresses.isEmpty else { throw table.error("addresses", .missing(expected: "\(form), at least one")) }
    guard let prefer = try table.choice("prefer", Prefer.self) else {
      throw table.error("prefer", .missing(expected: TableReader.list(Prefer.self)))
    }
    guard
      let replication = try table.table(
        "replication", known: ["local", "peer", "security", "certificate", "key", "peer_fingerprint"])
    else {
      throw table.error("replication", .missing(expected: "the table [pair.replication]"))
    }
    guard let heartbeat = try table.table("heartbeat", known: ["paths", "interval", "dead_after", "restart_patience"])
    else {
      throw table.error("heartbeat", .missing(expected: "the table [pair.heartbeat]"))
    }
    self.init(
      name: name, addresses: addresses, prefer: prefer, replication: try ReplicationLink(replication),
      heartbeat: try Heartbeat(heartbeat))
    if let onStop = try table.choice("on_stop", OnStop.self) { self.onStop = onStop }
    if let time = try table.durationOrNever("announce_refresh", 1_000_000_000...86_400_000_000_000) {
      announceRefresh = time
    }
    if let tracks = try table.flag("track_links") { tracksLinks = tracks }
    if let time = try table.duration("link_down_after", 0...3_600_000_000_000) { linkDownAfter = time }
    witnesses = try table.witnesses()
    guard let solo = try table.table("solo", known: ["arbiter", "policy", "expose_after", "witnesses"] + Solo.etcdKeys)
    else { return }
    self.solo = try Solo(solo)
    if !table.has("witnesses") { witnesses = self.solo.witnesses }
    // The active host stays mute for so long, and by that its standby knows that the ledgers it holds still tell everything;
    // two heartbeats on top may have been lost.
    guard self.solo.policy == .hold || self.solo.exposeAfter > 2 * self.heartbeat.interval else {
      throw solo.error(
        "expose_after",
        .conflict(
          "\(DurationText.text(self.solo.exposeAfter)) is not more than twice the heartbeat interval of "
            + "\(DurationText.text(self.heartbeat.interval)): a standby could not tell that what it holds is current"))
    }
  }
}

extension Configuration.Pair.ReplicationLink {
  fileprivate init(_ table: TableReader) throws(ConfigurationError) {
    let (local, peer) = try table.endpoints()
    let words = "\"tls\" or \"none\""
    // TLS is what an operator who says nothing expects, so silence does not mean plaintext.
    switch try table.string("security", expected: words) {
    case "tls", nil: self.init(local: local, peer: peer, security: .tls(try Configuration.Pair.Trust(table)))
    case "none": self.init(local: local, peer: peer, security: .none)
    case let other?: throw table.error("security", .badValue(expected: words, found: "\"\(other)\""))
    }
  }
}

extension Configuration.Pair.Trust {
  fileprivate init(_ table: TableReader) throws(ConfigurationError) {
    let form = "the fingerprint that holdfastctl keygen printed on the other host"
    var peers: [Fingerprint] = []
    for (text, key) in try table.stringOrStrings("peer_fingerprint", expected: form) {
      guard let fingerprint = Fingerprint(text) else {
        throw table.error(
          key, .badValue(expected: "\(form): 64 hexadecimal digits, as in \"sha256:9f86…\"", found: "\"\(text)\""))
      }
      peers.append(fingerprint)
    }
    guard !peers.isEmpty else {
      throw table.error(
        "peer_fingerprint",
        .missing(
          expected:
            "\(form). (For a link that carries nothing but the replication of the two hosts security = \"none\" "
            + "does without; then whoever reaches the link can read and change every connection)"))
    }
    guard peers.count <= 4 else {
      throw table.error("peer_fingerprint", .badValue(expected: "at most 4 fingerprints", found: "\(peers.count)"))
    }
    self.init(peers: peers)
    if let path = try Self.path("certificate", in: table) { certificate = path }
    if let path = try Self.path("key", in: table) { key = path }
  }

  /// An absolute path, or the name of a credential that the service manager passes (LoadCredential= in systemd.exec(5)).
  static func path(_ key: String, in table: TableReader) throws(ConfigurationError) -> String? {
    let form = "an absolute path, or the name of a credential that the service manager passes"
    guard let text = try table.string(key, expected: form) else { return nil }
    if text.hasPrefix("/") { return text }
    guard !text.isEmpty, !text.contains("/") else {
      throw table.error(key, .badValue(expected: form, found: "\"\(text)\""))
    }
    guard let folder = getenv("CREDENTIALS_DIRECTORY") else {
      throw table.error(
        key, .badValue(expected: form, found: "\"\(text)\", and no credentials ($CREDENTIALS_DIRECTORY is not set)"))
    }
    return "\(String(cString: folder))/\(text)"
  }
}

extension Configuration.Pair.Heartbeat {
  fileprivate init(_ table: TableReader) throws(ConfigurationError) {
    var paths: [Configuration.Pair.HeartbeatPath] = []
    for path in try table.tables("paths", known: ["local", "peer"]) {
      let (local, peer) = try path.endpoints()
      paths.append(.init(local: local, peer: peer))
    }
    guard !paths.isEmpty else {
      throw table.error(
        "paths", .missing(expected: "at least one { local = \"10.78.0.1:7412\", peer = \"10.78.0.2:7412\" }"))
    }
    self.init(paths: paths)
    if let time = try table.duration("interval", 1_000_000...60_000_000_000) { interval = time }
    if let time = try table.duration("dead_after", 2_000_000...3_600_000_000_000) { deadAfter = time }
    if let time = try table.duration("restart_patience", 1_000_000_000...255_000_000_000) { restartPatience = time }
    // With less, one lost datagram would be a dead host.
    guard deadAfter >= 2 * interval else {
      throw table.error(
        "dead_after",
        .conflict(
          "\(DurationText.text(deadAfter)) is less than twice the interval of \(DurationText.text(interval)): "
            + "one late heartbeat would be taken for death"))
    }
  }
}
