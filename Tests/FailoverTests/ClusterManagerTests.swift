import Lab
import Testing

/// Where a cluster manager decides who is active: the scripts for Pacemaker and keepalived, on real daemons.
@Suite(.serialized)
struct ClusterManagerTests {
  static let examples = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/docs/examples"

  /// Two hosts that do nothing alone, and what a manager runs on them.
  struct Cluster {
    let topology: Topology
    let alpha: DaemonHost
    let beta: DaemonHost

    init() throws {
      topology = try Topology()
      var options = DaemonHost.Options()
      options.arbiter = "arbiter = \"external\""
      alpha = try DaemonHost(.alpha, in: topology, options: options)
      beta = try DaemonHost(.beta, in: topology, options: options)
      try alpha.start()
      try beta.start()
    }

    subscript(host: HostName) -> DaemonHost { host == .alpha ? alpha : beta }

    /// Runs an action of the resource agent as Pacemaker does.
    /// - Returns: its exit status.
    func agent(_ action: String, on host: HostName, pair: String? = "web") throws -> Int32 {
      var environment = [
        "OCF_RESKEY_control": self[host].controlPath, "OCF_RESKEY_holdfastctl": try Products.path(of: "holdfastctl"),
        "HA_RSCTMP": self[host].folder, "OCF_RESOURCE_INSTANCE": "web",
      ]
      environment["OCF_RESKEY_pair"] = pair
      let process = try LabProcess.start(
        "\(ClusterManagerTests.examples)/holdfast.ocf", [action], in: topology[host], environment: environment)
      return try process.wait(until: .seconds(30))
    }
  }

  static let (success, notConfigured, notRunning, promoted) = (Int32(0), Int32(6), Int32(7), Int32(8))

  @Test(arguments: ["holdfast.ocf", "keepalived-notify.sh"])
  func theScriptsAreClean(_ name: String) throws {
    try Tool.run("shellcheck", ["-s", "sh", "\(Self.examples)/\(name)"])
  }

  @Test func theResourceAgentDoesWhatPacemakerAsks() throws {
    let cluster = try Cluster()
    #expect(try cluster.agent("meta-data", on: .alpha) == Self.success)
    #expect(try cluster.agent("validate-all", on: .alpha) == Self.success)
    #expect(try cluster.agent("validate-all", on: .alpha, pair: nil) == Self.notConfigured)
    for host in HostName.allCases {
      #expect(try cluster.agent("monitor", on: host) == Self.notRunning)
      #expect(try cluster.agent("start", on: host) == Self.success)
      #expect(try cluster.agent("monitor", on: host) == Self.success)
    }
    // Both are there, and neither begins.
    #expect(try cluster.alpha.status().pairs.first?.denial == "the cluster manager has not promoted this host")
    #expect(try cluster.agent("promote", on: .beta) == Self.success)
    #expect(try cluster.agent("monitor", on: .beta) == Self.promoted)
    try cluster.beta.waitUntil(role: "active", replication: "synced")
    #expect(try cluster.agent("monitor", on: .alpha) == Self.success)

    // A move: the standby waits for its turn.
    #expect(try cluster.agent("demote", on: .beta) == Self.success)
    #expect(try !Tool.run("ip", ["-n", cluster.beta.namespace.name, "addr"]).contains(Addresses.service4))
    #expect(try cluster.agent("promote", on: .alpha) == Self.success)
    try cluster.alpha.waitUntil(role: "active", replication: "synced")

    // A death: nobody takes over before the manager says so.
    try cluster.topology.crash(.alpha)
    try wait(for: "beta to say why it does not take over", until: .seconds(20)) {
      try cluster.beta.status().pairs.first?.denial == "the cluster manager has not promoted this host"
    }
    #expect(cluster.beta.takeover == nil)
    #expect(try cluster.agent("promote", on: .beta) == Self.success)
    #expect(try cluster.agent("monitor", on: .beta) == Self.promoted)
    #expect(try cluster.agent("stop", on: .beta) == Self.success)
    #expect(try cluster.agent("monitor", on: .beta) == Self.notRunning)
    #expect(try cluster.beta.status().pairs.first?.role != "active")
  }

  @Test func nobodyIsPromotedWhoseHostsDecideThemselves() throws {
    let topology = try Topology()
    let host = try DaemonHost(.alpha, in: topology)
    try host.start()
    for verb in ["promote", "demote"] {
      #expect(throws: LabError.self) {
        try Tool.run(Products.path(of: "holdfastctl"), [verb, "--socket", host.controlPath, "web"], in: topology.alpha)
      }
    }
  }

  /// VRRP over the LAN; the connections go where its master is.
  @Test func keepalivedMovesAPair() throws {
    let cluster = try Cluster()
    var managers: [HostName: LabProcess] = [:]
    for host in HostName.allCases {
      let folder = cluster[host].folder
      try Files.write(
        """
        #!/bin/sh
        export HOLDFAST_CONTROL="\(cluster[host].controlPath)" HOLDFASTCTL="\(try Products.path(of: "holdfastctl"))"
        exec "\(Self.examples)/keepalived-notify.sh" "$@"
        """, to: "\(folder)/notify")
      try Tool.run("chmod", "755", "\(folder)/notify")
      try Files.write(
        """
        global_defs {
          script_user root
          vrrp_garp_master_delay 0
        }
        vrrp_instance web {
          interface eth0
          state BACKUP
          nopreempt
          virtual_router_id 77
          priority \(host == .alpha ? 100 : 90)
          advert_int 0.1
          notify \(folder)/notify
        }
        """, to: "\(folder)/keepalived.conf")
      managers[host] = try LabProcess.start(
        "keepalived",
        [
          "--dont-fork", "--log-console", "--vrrp", "--use-file", "\(folder)/keepalived.conf", "--pid",
          "\(folder)/keepalived.pid", "--vrrp_pid", "\(folder)/vrrp.pid",
        ], in: cluster.topology[host], logs: folder, name: "keepalived")
    }
    func explain() -> String {
      HostName.allCases.map {
        "\n--- \($0): \(managers[$0]?.standardError ?? "")\(managers[$0]?.standardOutput ?? "")\n\(cluster[$0].log)"
      }.joined()
    }
    try wait(for: "one host to be active and synced\(explain())", until: .seconds(30)) {
      HostName.allCases.contains { host in
        let pair = try? cluster[host].status().pairs.first
        return pair?.role == "active" && pair?.replication == "synced"
      }
    }
    let active = try cluster.alpha.status().pairs.first?.role == "active" ? HostName.alpha : .beta
    try cluster.topology.crash(active)
    try wait(for: "\(active.other) to be promoted\(explain())", until: .seconds(30)) {
      try cluster[active.other].status().pairs.first?.role == "active"
    }
    // The role changes before the daemon has told the journal what the takeover did.
    try wait(for: "the takeover's summary\(explain())", until: .seconds(20)) { cluster[active.other].takeover != nil }
  }
}
