import Glibc
import Lab
import TCPModel
import Testing

/// Two pairs, one of which each host is active for: what happens to one host's addresses leaves the other's alone.
@Suite(.serialized)
struct CrosswiseTests {
  private static let second = "10.77.0.101"

  /// `web` is alpha's and `db` beta's, as in docs/examples/crosswise.toml.
  private struct Hosts {
    let topology: Topology
    let daemons: [HostName: DaemonHost]
    private var servers: [HostName: LabProcess] = [:]

    init() throws {
      topology = try Topology()
      try topology.limit("200mbit")
      var daemons: [HostName: DaemonHost] = [:]
      for name in HostName.allCases {
        var options = DaemonHost.Options()
        // A machine that is busy must not look like a dead host: that would be the other pair's fault, too.
        options.deadAfter = "1s"
        options.exposeAfter = "2s"
        options.keepsState = true
        options.more = """

          [[pair]]
          name = "db"
          addresses = ["\(CrosswiseTests.second)/24 dev eth0"]
          prefer = "\(name == .beta ? "active" : "standby")"

          [pair.replication]
          local = "10.78.0.\(name.digit):7421"
          peer = "10.78.0.\(name.other.digit):7421"
          security = "none"

          [pair.heartbeat]
          paths = [
            { local = "10.78.0.\(name.digit):7422", peer = "10.78.0.\(name.other.digit):7422" },
            { local = "10.77.0.\(name.digit):7422", peer = "10.77.0.\(name.other.digit):7422" },
          ]
          dead_after = "1s"

          [pair.solo]
          policy = "allow"
          expose_after = "2s"
          """
        daemons[name] = try DaemonHost(name, in: topology, options: options)
      }
      self.daemons = daemons
      for name in HostName.allCases { try start(name) }
    }

    func daemon(_ host: HostName) throws -> DaemonHost { try #require(daemons[host]) }

    mutating func start(_ host: HostName) throws {
      let daemon = try daemon(host)
      try daemon.start()
      servers[host] = try LabProcess.start(
        Products.path(of: "pattern-server"), ["--port", "7000", "--control", daemon.controlPath], in: topology[host],
        logs: daemon.folder, name: "pattern-server")
    }

    var explanation: String { daemons.values.map { "\n--- \($0.name):\n\($0.log)" }.joined() }

    func state(of pair: String, on host: HostName) throws -> DaemonStatus.Pair? {
      try daemon(host).status().pairs.first { $0.name == pair }
    }

    func waitUntilSynced(_ pair: String, active host: HostName) throws {
      try wait(for: "\(pair) to be active on \(host) and synced\(explanation)", until: .seconds(40), every: 20) {
        guard let active = try? state(of: pair, on: host), let standby = try? state(of: pair, on: host.other) else {
          return false
        }
        return active.role == "active" && active.replication == "synced" && standby.role == "standby"
          && standby.replication == "synced"
      }
    }

    func connect(_ address: String, _ shape: Shape, on host: HostName) throws -> PatternClient {
      let client = try PatternClient(
        in: topology.client, to: Endpoint(address, 7000), shape: shape, connections: 3)
      let local = "\(address):\(7000 + shape.portOffset)"
      try wait(for: "protected connections to \(local)\(explanation)", until: .seconds(30), every: 20) {
        if let failure = client.progress.firstFailure { throw LabError(failure) }
        return try daemon(host).connections().count { $0.protected && $0.local == local } == 3
      }
      return client
    }

    func goOn(_ clients: [PatternClient]) throws {
      for client in clients {
        let least = client.progress.least
        try wait(for: "\(client.shape) to go on\(explanation)", until: .seconds(60)) {
          if let failure = client.progress.firstFailure { throw LabError("\(failure)\(explanation)") }
          return client.progress.least >= least + 64 * 20
        }
      }
    }
  }

  @Test func eachHostGoesOnForTheOther() throws {
    var hosts = try Hosts()
    try hosts.waitUntilSynced("web", active: .alpha)
    try hosts.waitUntilSynced("db", active: .beta)
    let capture = try hosts.topology.capture(bytes: 192, filter: "tcp portrange 7000-7004")
    let clients = try [Shape.both, .pingpong].flatMap { shape in
      [
        try hosts.connect(Addresses.service4, shape, on: .alpha), try hosts.connect(Self.second, shape, on: .beta),
      ]
    }
    try hosts.goOn(clients)

    try hosts.topology.crash(.alpha)
    try wait(for: "beta to have web\(hosts.explanation)", until: .seconds(30)) {
      try hosts.state(of: "web", on: .beta)?.role == "active"
    }
    try hosts.goOn(clients)
    try hosts.topology.revive(.alpha)
    try hosts.start(.alpha)
    try hosts.waitUntilSynced("web", active: .beta)
    try hosts.waitUntilSynced("db", active: .beta)
    try hosts.goOn(clients)

    // One pair goes back; the other one stays as it is.
    let before = try #require(try hosts.state(of: "db", on: .beta))
    try Tool.run(
      Products.path(of: "holdfastctl"), ["switchover", "web", "--socket", hosts.daemon(.beta).controlPath],
      in: hosts.topology.beta)
    try hosts.waitUntilSynced("web", active: .alpha)
    let after = try #require(try hosts.state(of: "db", on: .beta))
    #expect(after.role == "active" && after.replication == "synced" && after.epoch == before.epoch)
    try hosts.goOn(clients)

    try hosts.topology.crash(.beta)
    try wait(for: "alpha to have db\(hosts.explanation)", until: .seconds(30)) {
      try hosts.state(of: "db", on: .alpha)?.role == "active"
    }
    try hosts.goOn(clients)
    for client in clients { client.finish(at: client.progress.least) }
    let failures = try clients.flatMap { try $0.report(until: .seconds(60)).failures }
    #expect(failures == [], "\(hosts.explanation)")
    let check = try CaptureCheck(capture.stop(), isService: { (7000...7004).contains($0.port) })
    #expect(check.violations == [])
    #expect(check.connections.count == 12)
  }
}
