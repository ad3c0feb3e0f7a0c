public import DaemonSupport
internal import LinuxNetwork
internal import TCPModel

extension ProxyConfiguration {
  private static let topKeys = ["proxy", "frontend", "backend"]

  /// Reads and checks the file.
  public static func load(path: String) throws(ConfigurationError) -> ProxyConfiguration {
    try ConfigurationFile.read(path: path, known: topKeys) { root throws(ConfigurationError) in
      try ProxyConfiguration(root)
    }
  }

  /// Checks `text`; errors name `file`.
  public static func parse(_ text: String, file: String) throws(ConfigurationError) -> ProxyConfiguration {
    try ConfigurationFile.parse(text, file: file, known: topKeys) { root throws(ConfigurationError) in
      try ProxyConfiguration(root)
    }
  }

  private init(_ root: TableReader) throws(ConfigurationError) {
    self.init()
    let proxyKeys = ["control", "service", "unprotected", "drain_timeout", "threads"]
    if let table = try root.table("proxy", known: proxyKeys) { try readProxy(table) }
    let frontendKeys = ["name", "listen", "backend", "max_connections", "idle_timeout"]
    let frontendTables = try root.tables("frontend", known: frontendKeys)
    let backendKeys = [
      "name", "servers", "source", "balance", "connect_timeout", "proxy_protocol", "check", "check_interval",
      "check_timeout", "rise", "fall",
    ]
    let backendTables = try root.tables("backend", known: backendKeys)
    for (key, tables) in [("frontend", frontendTables), ("backend", backendTables)] where tables.isEmpty {
      throw root.error(key, .missing(expected: "at least one table [[\(key)]]"))
    }
    for table in frontendTables { frontends.append(try Frontend(table)) }
    for table in backendTables { backends.append(try Backend(table)) }
    try checkFrontends(frontendTables)
    try checkBackends(backendTables)
  }

  private mutating func readProxy(_ table: TableReader) throws(ConfigurationError) {
    if let path = try table.string("control", expected: "the path of holdfastd's control socket") {
      guard path.hasPrefix("/"), path.utf8.count <= 107 else {
        throw table.error("control", .badValue(expected: "an absolute path of at most 107 bytes", found: "\"\(path)\""))
      }
      control = path
    }
    if try table.string("service", expected: "a name") != nil { service = try table.name("service") }
    if let choice = try table.choice("unprotected", Unprotected.self) { unprotected = choice }
    if let time = try table.duration("drain_timeout", 1_000_000...3_600_000_000_000) { drainTimeout = time }
    threads = try table.integer("threads", 1...256, expected: "a number of threads from 1 to 256")
  }

  private func checkFrontends(_ tables: [TableReader]) throws(ConfigurationError) {
    var names: [String: Int] = [:]
    var listeners: [Endpoint: Int] = [:]
    for (index, (frontend, table)) in zip(frontends, tables).enumerated() {
      if let other = names.updateValue(index, forKey: frontend.name) {
        throw table.error("name", .conflict("\"\(frontend.name)\" is the name of frontend[\(other)], too"))
      }
      for (place, endpoint) in frontend.listen.enumerated() {
        if let other = listeners.updateValue(index, forKey: endpoint) {
          throw table.error("listen[\(place)]", .conflict("frontend[\(other)] listens on \(endpoint) already"))
        }
      }
      guard let backend = backends.first(where: { $0.name == frontend.backend }) else {
        throw table.error("backend", .conflict("there is no [[backend]] named \"\(frontend.backend)\""))
      }
      for endpoint in frontend.listen {
        for server in backend.servers where backend.source(for: server, client: endpoint.address) == nil {
          let family = server.address.isIPv6 ? "IPv6" : "IPv4"
          throw table.error(
            "backend",
            .conflict(
              "\(endpoint) and the server \(server) are of different families: give backend \"\(backend.name)\" an "
                + "\(family) service address as source"))
        }
      }
    }
  }

  private func checkBackends(_ tables: [TableReader]) throws(ConfigurationError) {
    var names: [String: Int] = [:]
    for (index, (backend, table)) in zip(backends, tables).enumerated() {
      if let other = names.updateValue(index, forKey: backend.name) {
        throw table.error("name", .conflict("\"\(backend.name)\" is the name of backend[\(other)], too"))
      }
      guard Set(backend.servers).count == backend.servers.count else {
        throw table.error("servers", .conflict("a server is listed twice"))
      }
      guard Set(backend.source.map(\.isIPv6)).count == backend.source.count else {
        throw table.error("source", .conflict("there can be one address of each family"))
      }
    }
  }
}

extension ProxyConfiguration.Backend {
  /// From which address `server` is called for a client that came to `client`; nil when there is none of its family.
  func source(for server: Endpoint, client: IPAddress) -> IPAddress? {
    (source + [client]).first { $0.isIPv6 == server.address.isIPv6 }
  }

  fileprivate init(_ table: TableReader) throws(ConfigurationError) {
    self.init(name: try table.name("name"), servers: try table.endpoints(in: "servers"))
    let form = "an array of service addresses such as \"10.77.0.100\""
    for (text, key) in try table.strings("source", expected: form) {
      guard let address = IPAddress(text) else {
        throw table.error(key, .badValue(expected: "an address such as \"10.77.0.100\"", found: "\"\(text)\""))
      }
      source.append(address)
    }
    if let choice = try table.choice("balance", ProxyConfiguration.Balance.self) { balance = choice }
    if let choice = try table.choice("proxy_protocol", ProxyConfiguration.HeaderKind.self) { header = choice }
    if let choice = try table.choice("check", ProxyConfiguration.Check.self) { check = choice }
    let range: ClosedRange<UInt64> = 1_000_000...3_600_000_000_000
    if let time = try table.duration("connect_timeout", range) { connectTimeout = time }
    if let time = try table.duration("check_interval", 10_000_000...3_600_000_000_000) { checkInterval = time }
    if let time = try table.duration("check_timeout", range) { checkTimeout = time }
    if let count = try table.integer("rise", 1...100, expected: "a number of checks from 1 to 100") { rise = count }
    if let count = try table.integer("fall", 1...100, expected: "a number of checks from 1 to 100") { fall = count }
  }
}

extension ProxyConfiguration.Frontend {
  fileprivate init(_ table: TableReader) throws(ConfigurationError) {
    self.init(
      name: try table.name("name"), listen: try table.endpoints(in: "listen"), backend: try table.name("backend"))
    let limit = "a number of connections from 1 to 1000000"
    if let count = try table.integer("max_connections", 1...1_000_000, expected: limit) { maxConnections = count }
    idleTimeout = try table.duration("idle_timeout", 1_000_000...86_400_000_000_000)
  }
}

extension TableReader {
  /// At least one.
  fileprivate func endpoints(in key: String) throws(ConfigurationError) -> [Endpoint] {
    let form = "an array of addresses with ports such as \"10.77.0.100:80\""
    var endpoints: [Endpoint] = []
    for (text, place) in try strings(key, expected: form) { endpoints.append(try endpoint(text, at: place)) }
    guard !endpoints.isEmpty else { throw error(key, .missing(expected: "\(form), at least one")) }
    return endpoints
  }
}
