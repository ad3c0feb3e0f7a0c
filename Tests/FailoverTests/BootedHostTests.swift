import Glibc
import Lab
import TCPModel
import Testing

/// Two hosts that were booted with systemd and set up as the README says: `systemctl` and the journal are the subject.
@Suite(.serialized)
struct BootedHostTests {
  /// Both hosts, with their daemons and applications running, and synced.
  private struct Pair {
    let topology: Topology
    let hosts: [HostName: BootedHost]

    subscript(name: HostName) -> BootedHost {
      get throws { try #require(hosts[name]) }
    }

    init() throws {
      let topology = try Topology()
      self.topology = topology
      let hosts = Dictionary(
        uniqueKeysWithValues: try HostName.allCases.map { ($0, try BootedHost($0, in: topology)) })
      self.hosts = hosts
      var lines: [HostName: String] = [:]
      for (name, host) in hosts {
        try host.run("systemd-sysusers", "/usr/lib/sysusers.d/holdfast.conf")
        let said = try host.run("holdfastctl", "keygen")
        lines[name] = String(try #require(said.split(separator: "\n").last { $0.hasPrefix("peer_fingerprint") }))
      }
      for (name, host) in hosts {
        try host.write(
          try Pair.configuration(name, try #require(lines[name.other])), to: "/etc/holdfast/holdfastd.toml")
        try host.run("chgrp", "holdfast", "/etc/holdfast/holdfastd.toml")
        #expect(try host.run("holdfastd", "--check").contains("valid"))
        try host.run("systemctl", "start", "holdfastd")
        #expect(try host.property("ActiveState", of: "holdfastd") == "active")
        try startApplication(on: name)
      }
      try waitUntilSynced(active: .alpha)
    }

    private static func configuration(_ name: HostName, _ fingerprint: String) throws -> String {
      let (own, other) = name == .alpha ? (1, 2) : (2, 1)
      return """
        [node]
        name = "\(name)"

        [[pair]]
        name = "web"
        addresses = ["\(Addresses.service4)/24 dev eth0", "\(Addresses.service6)/64 dev eth0"]
        prefer = "\(name == .alpha ? "active" : "standby")"

        [pair.replication]
        local = "10.78.0.\(own):7411"
        peer = "10.78.0.\(other):7411"
        \(fingerprint)

        [pair.heartbeat]
        paths = [
          { local = "10.78.0.\(own):7412", peer = "10.78.0.\(other):7412" },
          { local = "10.77.0.\(own):7412", peer = "10.77.0.\(other):7412" },
        ]
        dead_after = "300ms"

        [pair.solo]
        expose_after = "3s"

        """
    }

    func startApplication(on name: HostName) throws {
      try self[name].run(
        "systemd-run", "--quiet", "--collect", "--unit=application", "/products/pattern-server",
        "--control", "/run/holdfast/control.sock")
    }

    func status(_ name: HostName) throws -> DaemonStatus.Pair? {
      try (ControlClient(path: try self[name].controlPath).call("GetStatus", Nothing()) as DaemonStatus).pairs.first
    }

    func connections(_ name: HostName) throws -> [ControlledConnection] {
      let list: ConnectionList = try ControlClient(path: try self[name].controlPath).call("ListConnections", Nothing())
      return list.connections
    }

    /// The end of what the daemons have said.
    var explanation: String {
      HostName.allCases.map { name in
        "\n--- \(name):\n"
          + ((try? self[name].run("journalctl", "--no-pager", "--lines=40", "--output=short-monotonic")) ?? "")
      }.joined()
    }

    func waitUntilSynced(active name: HostName) throws {
      try wait(for: "\(name) to be active and its standby synced\(explanation)", until: .seconds(30), every: 50) {
        guard let one = try? status(name), let other = try? status(name.other) else { return false }
        return one.role == "active" && one.replication == "synced" && other.role == "standby"
          && other.replication == "synced"
      }
    }

    func connect(_ shape: Shape, _ count: Int) throws -> PatternClient {
      let client = try PatternClient(
        in: topology.client, to: try Endpoint(Addresses.service4, ProtectedPair.port), shape: shape, connections: count)
      try wait(for: "\(count) protected connections\(explanation)", until: .seconds(30), every: 50) {
        if let failure = client.progress.firstFailure { throw LabError("\(failure)\(explanation)") }
        let port = ProtectedPair.port + shape.portOffset
        guard client.progress.connected == count else { return false }
        return try connections(.alpha).count { $0.protected && $0.local.hasSuffix(":\(port)") } == count
      }
      return client
    }

    func waitForProgress(_ clients: [PatternClient], after what: String) throws {
      for client in clients {
        let least = client.progress.least
        try wait(for: "\(client.shape) to go on after \(what)\(explanation)", until: .seconds(30)) {
          if let failure = client.progress.firstFailure { throw LabError("\(failure)\(explanation)") }
          return client.progress.least >= least + 1280
        }
      }
    }
  }

  @Test func connectionsOutliveWhateverSystemctlDoes() throws {
    let pair = try Pair()
    let alpha = try pair[.alpha]
    // What systemd and the journal know of the daemon.
    #expect(try alpha.property("StatusText", of: "holdfastd").hasPrefix("active for web (0 connections, synced)"))
    let started = try alpha.journal(of: "holdfastd", "MESSAGE_ID=6c5949ab0aa14aeb9509909378ed8c19")
    #expect(started.contains("\"HOLDFAST_NODE\":\"alpha\"") && started.contains("\"SYSLOG_IDENTIFIER\":\"holdfastd\""))
    #expect(try alpha.journal(of: "holdfastd", "HOLDFAST_PAIR=web").contains("\"HOLDFAST_ROLE\":\"active\""))
    #expect(try alpha.run("holdfastctl", "status").contains("web"))

    let capture = try pair.topology.capture(bytes: 192, filter: "tcp portrange 7000-7004")
    let clients = [try pair.connect(.both, 2), try pair.connect(.pingpong, 2)]
    try pair.waitForProgress(clients, after: "the start")

    for round in 1...2 {
      try alpha.run("systemctl", "restart", "holdfastd")
      // The shelf of the daemon that runs.
      #expect(try alpha.property("NFileDescriptorStore", of: "holdfastd") == "1")
      try pair.waitUntilSynced(active: .alpha)
      try pair.waitForProgress(clients, after: "restart \(round)")
      let status = try pair.status(.alpha)
      #expect(status?.epoch == 2 && status?.connections == 4)
    }
    #expect(
      try alpha.journal(of: "holdfastd", "MESSAGE_ID=fd8026e936d0464290205011e19fb5bc").split(separator: "\n").count
        == 2)

    try Self.takesAnotherConfiguration(pair, clients)

    // A crash that takes too long to mend is the standby's business; systemd fences the host and mends the daemon, which follows.
    let slow = "/run/systemd/system/holdfastd.service.d/slow.conf"
    try alpha.run("mkdir", "-p", "/run/systemd/system/holdfastd.service.d")
    try alpha.write("[Service]\nRestartSec=2s\n", to: slow)
    try alpha.run("systemctl", "daemon-reload")
    try alpha.run("systemctl", "kill", "--signal=KILL", "holdfastd")
    try pair.waitUntilSynced(active: .beta)
    try pair.waitForProgress(clients, after: "a crash of the daemon")
    #expect(try !alpha.run("ip", "-o", "addr").contains("\(Addresses.service4)/"))
    #expect(try alpha.property("NRestarts", of: "holdfastd") == "1")
    try alpha.run("rm", slow)
    try alpha.run("systemctl", "daemon-reload")

    // A stop is a switchover.
    try pair[.beta].run("systemctl", "stop", "holdfastd")
    try wait(for: "alpha to take over\(pair.explanation)", until: .seconds(20), every: 50) {
      try pair.status(.alpha)?.role == "active"
    }
    try pair.waitForProgress(clients, after: "a stop")
    #expect(try pair[.beta].property("Result", of: "holdfastd") == "success")

    // A crash without a standby is mended in place: the sockets lie with systemd.
    try alpha.run("systemctl", "kill", "--signal=KILL", "holdfastd")
    try pair.waitForProgress(clients, after: "a crash of the daemon without a standby")
    #expect(try alpha.property("NRestarts", of: "holdfastd") == "2")
    #expect(try pair.status(.alpha)?.connections == 4)
    try pair[.beta].run("systemctl", "start", "holdfastd")
    try pair.waitUntilSynced(active: .alpha)

    // And the whole host dies.
    try pair.topology.crash(.alpha)
    try wait(for: "beta to take over\(pair.explanation)", until: .seconds(20), every: 50) {
      try pair.status(.beta)?.role == "active"
    }
    try pair.waitForProgress(clients, after: "a crash of the host")
    for client in clients { client.finish(at: client.progress.least) }
    for client in clients { #expect(try client.report(until: .seconds(60)).failures.isEmpty, "\(pair.explanation)") }
    let check = try CaptureCheck(capture.stop(), isService: { (7000...7004).contains($0.port) })
    #expect(check.violations.isEmpty, "\(check.violations)\(pair.explanation)")
  }

  /// A reload with a broken file changes nothing, a restart with one keeps what works, and a reload with a good one is a restart.
  private static func takesAnotherConfiguration(_ pair: Pair, _ clients: [PatternClient]) throws {
    let (alpha, path) = (try pair[.alpha], "/etc/holdfast/holdfastd.toml")
    // The limit of starts in a minute is not the subject.
    try alpha.run("systemctl", "reset-failed", "holdfastd")
    try alpha.run("cp", "--preserve=all", path, "\(path).good")
    let process = try alpha.property("MainPID", of: "holdfastd")
    try alpha.run("cp", "/dev/null", path)
    #expect(throws: (any Error).self) { try alpha.run("systemctl", "reload", "holdfastd") }
    #expect(try alpha.property("MainPID", of: "holdfastd") == process)
    // Without any file the unit starts, too, for what the daemon has left.
    for damage in [["cp", "/dev/null", path], ["rm", path]] {
      try alpha.run(damage)
      try alpha.run("systemctl", "restart", "holdfastd")
      #expect(try alpha.property("ActiveState", of: "holdfastd") == "active")
      try pair.waitUntilSynced(active: .alpha)
      try pair.waitForProgress(clients, after: "a restart with a broken file")
      #expect(try alpha.property("StatusText", of: "holdfastd").hasPrefix("RUNS WITH THE LAST GOOD CONFIGURATION"))
    }
    try alpha.run("cp", "--preserve=all", "\(path).good", path)
    let former = try alpha.property("MainPID", of: "holdfastd")
    try alpha.run("systemctl", "reload", "holdfastd")
    try wait(for: "the next daemon\(pair.explanation)", until: .seconds(20), every: 50) {
      let next = try alpha.property("MainPID", of: "holdfastd")
      return next != former && next != "0"
    }
    try pair.waitUntilSynced(active: .alpha)
    try pair.waitForProgress(clients, after: "a reload")
    #expect(try alpha.property("StatusText", of: "holdfastd").hasPrefix("active for web (4 connections, synced)"))
    #expect(try pair.status(.alpha)?.epoch == 2)
    // Counts from 0 again, and the limit too.
    try alpha.run("systemctl", "restart", "holdfastd")
    try alpha.run("systemctl", "reset-failed", "holdfastd")
    try pair.waitUntilSynced(active: .alpha)
  }

  /// An operator's choice of what it may do is part of what it is: no capability, system call or path more than it needs.
  @Test(arguments: ["holdfastd", "holdfast-proxy"])
  func theUnitIsConfined(_ unit: String) throws {
    let folder = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/systemd"
    // In tenths; an exposure above it is an exit status.
    let said = try Tool.run(
      "systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", "\(folder)/\(unit).service")
    #expect(said.contains("Overall exposure level"))
  }

  @Test func theProxysServiceCarriesAConnection() throws {
    let topology = try Topology(withServer: true)
    let host = try BootedHost(.alpha, in: topology)
    try host.run("systemd-sysusers", "/usr/lib/sysusers.d/holdfast.conf")
    try host.write(
      """
      [node]
      name = "alpha"

      [[pair]]
      name = "web"
      addresses = ["\(Addresses.service4)/24 dev eth0"]
      prefer = "active"

      [pair.replication]
      local = "10.78.0.1:7411"
      peer = "10.78.0.2:7411"
      security = "none"

      [pair.heartbeat]
      paths = [{ local = "10.78.0.1:7412", peer = "10.78.0.2:7412" }]

      """, to: "/etc/holdfast/holdfastd.toml")
    try host.write(
      """
      [[frontend]]
      name = "front"
      listen = ["\(Addresses.service4):80"]
      backend = "back"

      [[backend]]
      name = "back"
      servers = ["\(Addresses.server):80"]
      source = ["\(Addresses.service4)"]

      """, to: "/etc/holdfast/holdfast-proxy.toml")
    try host.run("chgrp", "-R", "holdfast", "/etc/holdfast")
    let folder = try Scratch.subfolder("proxied")
    let content = Pattern(seed: 5).bytes(0..<(2 << 20))
    try Files.makeFolder("\(folder)/www")
    try Files.append(to: "\(folder)/www/file") { write in try write(content) }
    let server = try LabProcess.start(
      "python3", ["-m", "http.server", "80", "--bind", Addresses.server, "--directory", "\(folder)/www"],
      in: topology.server)
    // The proxy wants the daemon.
    try host.run("systemctl", "start", "holdfast-proxy")
    #expect(try host.property("ActiveState", of: "holdfast-proxy") == "active")
    #expect(try host.property("ActiveState", of: "holdfastd") == "active")
    func explanation() -> String { "\n" + ((try? host.run("journalctl", "--no-pager", "--lines=60")) ?? "") }
    try wait(for: "the daemon to be active\(explanation())", until: .seconds(20), every: 50) {
      try host.property("StatusText", of: "holdfastd").hasPrefix("active")
    }
    // The server and the proxy's checks of it take a moment.
    try Tool.run(
      "curl",
      [
        "--silent", "--show-error", "--fail", "--retry", "20", "--retry-delay", "1", "--retry-all-errors", "--max-time",
        "60",
        "--output", "\(folder)/got", "http://\(Addresses.service4)/file",
      ], in: topology.client)
    #expect(try Files.readBytes("\(folder)/got") == content, "\(explanation())")
    #expect(server.isRunning)
    // It was registered: the proxy is in the daemon's group.
    let refusals = try host.journal(of: "holdfast-proxy", "PRIORITY=4")
    #expect(!refusals.contains("unprotected"), "\(refusals)")
  }
}
