internal import DaemonSupport
internal import LinuxNetwork
internal import TCPModel

extension Configuration.Pair.Solo {
  static let etcdKeys = ["endpoints", "ca", "certificate", "key", "prefix", "lease", "timeout"]

  init(_ table: TableReader) throws(ConfigurationError) {
    self.init()
    let words = "\"none\", \"etcd\" or \"external\""
    switch try table.string("arbiter", expected: words) {
    case "none", nil: break
    case "etcd": arbiter = .etcd(try Configuration.Pair.Etcd(table))
    case "external": arbiter = .external
    case let other?: throw table.error("arbiter", .badValue(expected: words, found: "\"\(other)\""))
    }
    if let policy = try table.choice("policy", Configuration.Pair.Policy.self) { self.policy = policy }
    if let time = try table.duration("expose_after", 0...3_600_000_000_000) { exposeAfter = time }
    witnesses = try table.witnesses()
    guard arbiter != .external || policy == .allow else {
      throw table.error(
        "policy", .conflict("\"hold\" would keep this host from what a cluster manager promotes it for"))
    }
    // Whoever writes these counts on them.
    if arbiter == .none || arbiter == .external {
      for key in Self.etcdKeys where table.has(key) {
        throw table.error(key, .conflict("is for arbiter = \"etcd\""))
      }
    }
    if arbiter == .none {
      guard witnesses.isEmpty || policy == .allow else {
        throw table.error("witnesses", .conflict("nobody is asked with policy = \"hold\": this host never acts alone"))
      }
    } else if !witnesses.isEmpty {
      throw table.error("witnesses", .conflict("is for arbiter = \"none\": with another one the network is not asked"))
    }
  }
}

extension TableReader {
  /// The addresses of neighbours that are asked whether they answer; empty when the key is not there.
  func witnesses() throws(ConfigurationError) -> [IPAddress] {
    let form = "an array of addresses such as \"10.77.0.254\""
    var witnesses: [IPAddress] = []
    for (text, key) in try strings("witnesses", expected: form) {
      guard let address = IPAddress(text) else {
        throw error(key, .badValue(expected: form, found: "\"\(text)\""))
      }
      witnesses.append(address)
    }
    return witnesses
  }
}

extension Configuration.Pair.Etcd {
  fileprivate init(_ table: TableReader) throws(ConfigurationError) {
    let form = "an array of endpoints such as \"https://10.77.0.30:2379\""
    var endpoints: [String] = []
    for (text, key) in try table.strings("endpoints", expected: form) {
      guard Self.isEndpoint(text) else {
        throw table.error(
          key,
          .badValue(
            expected: "http:// or https://, a host and a port, as in \"https://10.77.0.30:2379\"", found: "\"\(text)\"")
        )
      }
      endpoints.append(text)
    }
    guard !endpoints.isEmpty else { throw table.error("endpoints", .missing(expected: "\(form), at least one")) }
    self.init(endpoints: endpoints)
    authorities = try Configuration.Pair.Trust.path("ca", in: table)
    certificate = try Configuration.Pair.Trust.path("certificate", in: table)
    key = try Configuration.Pair.Trust.path("key", in: table)
    guard (certificate == nil) == (key == nil) else {
      throw table.error(
        certificate == nil ? "certificate" : "key",
        .missing(
          expected: "the path of the \(certificate == nil ? "certificate" : "key"): etcd is shown both or neither"))
    }
    if authorities != nil || certificate != nil,
      let index = endpoints.firstIndex(where: { $0.hasPrefix("http://") })
    {
      throw table.error(
        "endpoints[\(index)]", .conflict("\(endpoints[index]) has no TLS, and ca or certificate is given"))
    }
    if let prefix = try table.string(
      "prefix", expected: "what the pair's keys in etcd begin with, as in \"/holdfast/\"")
    {
      guard !prefix.isEmpty, prefix.utf8.count <= 200 else {
        throw table.error("prefix", .badValue(expected: "1 to 200 bytes", found: "\"\(prefix)\""))
      }
      self.prefix = prefix
    }
    if let time = try table.duration("lease", 2_000_000_000...60_000_000_000) { lease = time }
    if let time = try table.duration("timeout", 10_000_000...10_000_000_000) { timeout = time }
    guard timeout <= lease else {
      throw table.error(
        "timeout",
        .conflict(
          "\(DurationText.text(timeout)) is more than the lease of \(DurationText.text(lease)), which would end meanwhile"
        ))
    }
  }

  /// `scheme://host:port`, and no path: it would come before etcd's own.
  private static func isEndpoint(_ text: String) -> Bool {
    for scheme in ["https://", "http://"] where text.hasPrefix(scheme) {
      let rest = text.dropFirst(scheme.count)
      guard let colon = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: colon)...]), port > 0 else {
        return false
      }
      let host = rest[..<colon]
      if host.hasPrefix("["), host.hasSuffix("]") {
        return IPAddress(String(host.dropFirst().dropLast()))?.isIPv6 ?? false
      }
      return !host.isEmpty
        && host.utf8.allSatisfy {
          (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d
            || $0 == 0x2e
        }
    }
    return false
  }
}
