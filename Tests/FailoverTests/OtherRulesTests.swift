import Glibc
import Lab
import TCPModel
import Testing

/// Rules of other programs see what they would see without the daemon.
@Suite(.serialized)
struct OtherRulesTests {
  /// Where a packet that comes for this host passes, and one that it sends. The marks that some ask for are set in raw PREROUTING and
  /// raw OUTPUT, where another program marks all packets.
  private static let coming = [
    ["-t", "mangle", "-A", "PREROUTING"], ["-t", "mangle", "-A", "PREROUTING", "-m", "mark", "--mark", "5/0xf"],
    ["-t", "mangle", "-A", "INPUT", "-m", "mark", "--mark", "5"],
    ["-t", "filter", "-A", "INPUT", "-m", "mark", "--mark", "5"], ["-t", "filter", "-A", "INPUT"],
    ["-t", "security", "-A", "INPUT", "-m", "mark", "--mark", "5"],
  ]
  private static let leaving = [
    ["-t", "mangle", "-A", "OUTPUT"], ["-t", "mangle", "-A", "OUTPUT", "-m", "mark", "--mark", "6"],
    ["-t", "filter", "-A", "OUTPUT", "-m", "mark", "--mark", "6/0xf"], ["-t", "filter", "-A", "OUTPUT"],
    ["-t", "mangle", "-A", "POSTROUTING"], ["-t", "mangle", "-A", "POSTROUTING", "-m", "mark", "--mark", "6"],
  ]

  private static func addCounters(_ ports: [Int], to host: HostName, in topology: Topology) throws {
    for port in ports {
      let (to, from) = (["-p", "tcp", "--dport", "\(port)"], ["-p", "tcp", "--sport", "\(port)"])
      var rules = [
        ["-t", "raw", "-I", "PREROUTING"] + to + ["-j", "MARK", "--set-mark", "5"],
        ["-t", "raw", "-I", "OUTPUT"] + from + ["-j", "MARK", "--set-mark", "6"],
        ["-t", "filter", "-A", "FORWARD"] + to + ["-m", "comment", "--comment", "forward-\(port)"],
        ["-t", "mangle", "-A", "PREROUTING", "-i", "lo"] + to + ["-m", "comment", "--comment", "loop-\(port)"],
      ]
      for (index, place) in coming.enumerated() {
        rules.append(place + to + ["-m", "comment", "--comment", "to-\(port)-\(index)"])
      }
      for (index, place) in leaving.enumerated() {
        rules.append(place + from + ["-m", "comment", "--comment", "from-\(port)-\(index)"])
      }
      try topology.addRules(rules, on: host)
    }
  }

  /// Packets to and from a port that a host's counters have seen: one number for each rule.
  private func counted(_ port: Int, on host: HostName, in topology: Topology) throws -> (coming: [Int], leaving: [Int])
  {
    #expect(try topology.packets(countedBy: "forward-\(port)", on: host) == 0)
    return (
      try Self.coming.indices.map { try topology.packets(countedBy: "to-\(port)-\($0)", on: host) },
      try Self.leaving.indices.map { try topology.packets(countedBy: "from-\(port)-\($0)", on: host) }
    )
  }

  private func count(_ capture: PacketCapture) throws -> Int {
    try CaptureCheck(capture.stop(), isService: { _ in true }).packets
  }

  /// Captures of what reaches a host and of what it sends, for one port.
  private struct Captures {
    let coming: PacketCapture
    let leaving: PacketCapture

    init(_ port: Int, of host: HostName, in topology: Topology) throws {
      let address = try topology.linkAddress(of: host)
      coming = try topology.capture(bytes: 128, filter: "tcp dst port \(port) and ether dst \(address)")
      leaving = try topology.capture(bytes: 128, filter: "tcp src port \(port) and ether src \(address)")
    }
  }

  /// [6]
  @Test(arguments: [true, false])
  func theirCountersCountEveryPacket(areRulesFirst: Bool) throws {
    let ports = [7003, 7100, 7103]
    let pair = try ProtectedPair { topology in
      try topology.limit("200mbit")
      if areRulesFirst { for host in HostName.allCases { try Self.addCounters(ports, to: host, in: topology) } }
    }
    let topology = pair.topology
    if !areRulesFirst { for host in HostName.allCases { try Self.addCounters(ports, to: host, in: topology) } }
    try pair.startServers()
    let plain = try LabProcess.start(Products.path(of: "pattern-server"), ["--port", "7100"], in: pair.alpha.namespace)
    try wait(for: "the other server", until: .seconds(20)) { plain.standardOutput.contains("serving") }
    let captures = try Dictionary(uniqueKeysWithValues: ports.map { ($0, try Captures($0, of: .alpha, in: topology)) })
    let onBeta = try Captures(7003, of: .beta, in: topology)

    // Unregistered, on the service's address, and a registered one that ends.
    let strangers = try [Shape.download, .pingpong].map {
      try PatternClient(in: topology.client, to: Endpoint(Addresses.service4, 7100), shape: $0)
    }
    let ending = try pair.connect(.pingpong)
    for client in strangers + [ending] {
      try pair.waitForProgress(client, bytes: client.shape == .download ? 3_000_000 : 64 * 100)
      client.finish(at: client.progress.least)
      try expectNone(client.report(until: .seconds(30)).failures)
    }
    try wait(for: "the end to be forgotten", until: .seconds(20)) { try pair.alpha.connections().isEmpty }
    let going = try pair.connect(.pingpong, connections: 2)
    try pair.waitForProgress(going, bytes: 64 * 50)
    // It falls silent: then what has been counted has been captured.
    going.setSpeaking(false)
    try wait(for: "silence", until: .seconds(20)) { going.progress.received == going.progress.sent }
    try FailureDetectionTests.passes(500_000_000)
    for port in ports {
      let counters = try counted(port, on: .alpha, in: topology)
      let captures = try #require(captures[port])
      let (coming, leaving) = (try count(captures.coming), try count(captures.leaving))
      #expect(coming > 50 && leaving > 50)
      #expect(counters.coming == Self.coming.map { _ in coming }, "to port \(port)")
      #expect(counters.leaving == Self.leaving.map { _ in leaving }, "from port \(port)")
    }

    going.setSpeaking(true)
    try pair.waitForProgress(going)
    try topology.crash(.alpha)
    #expect(try pair.waitForTakeover().restoredConnections == 2)
    try pair.waitForProgress(going, bytes: 64 * 50)
    going.finish(at: going.progress.least)
    try expectNone(going.report(until: .seconds(30)).failures)
    let counters = try counted(7003, on: .beta, in: topology)
    let (coming, leaving) = (try count(onBeta.coming), try count(onBeta.leaving))
    #expect(coming > 50 && leaving > 50)
    // What the dead host had and had not acknowledged the daemon gives to the restored socket: it comes from the host itself.
    let own = try topology.packets(countedBy: "loop-7003", on: .beta)
    #expect(counters.coming == Self.coming.map { _ in coming + own })
    // What a restored socket says before its time stays behind the counters.
    for counter in counters.leaving { #expect(counter >= leaving, "\(counters.leaving), \(leaving) left") }
  }

  /// Everything but what is needed is dropped, by the marks of another program.
  @Test func aFilterByMarkLetsTheServiceThrough() throws {
    let pair = try ProtectedPair()
    let mark = [
      "-t", "raw", "-A", "PREROUTING", "-d", Addresses.service4, "-p", "tcp", "-j", "MARK", "--set-mark", "5",
    ]
    let filter = [
      "-A", "INPUT", "-d", Addresses.service4, "-p", "tcp", "-m", "mark", "!", "--mark", "5/0xf", "-j", "DROP",
    ]
    for host in HostName.allCases { try pair.topology.addRules([mark, filter], on: host) }
    // A host that has just become active has seen to its last things.
    try FailureDetectionTests.passes(1_500_000_000)
    try pair.startServers()
    let plain = try LabProcess.start(Products.path(of: "pattern-server"), ["--port", "7100"], in: pair.alpha.namespace)
    try wait(for: "the other server", until: .seconds(20)) { plain.standardOutput.contains("serving") }
    let stranger = try PatternClient(in: pair.topology.client, to: Endpoint(Addresses.service4, 7100), shape: .pingpong)
    try pair.waitForProgress(stranger, seconds: 10)
    let client = try pair.connect(.pingpong, connections: 3)
    try pair.waitForProgress(client)
    stranger.stop()
    try pair.topology.crash(.alpha)
    #expect(try pair.waitForTakeover().restoredConnections == 3)
    try pair.waitForProgress(client)
    client.finish(at: client.progress.least)
    try expectNone(client.report(until: .seconds(30)).failures)
  }

  /// Moving to and fro leaves nothing behind, and takes nothing along.
  @Test func tenSwitchoversLeaveTheHostsAsTheyWere() throws {
    let topology = try Topology()
    for host in HostName.allCases {
      try topology[host].ip(
        batch: """
          addr add 10.77.0.\(host.digit + 200)/24 dev eth0
          addr add 10.80.0.\(host.digit)/16 dev eth0
          addr add fd77::\(host.digit + 200)/64 dev eth0 nodad
          route add 10.81.0.0/16 via 10.77.0.\(host.other.digit) dev eth0
          route add default via 10.77.0.9 dev eth0
          rule add fwmark 1 table 100

          """)
      try topology[host].ip("-6", "route", "add", "default", "via", "fd77::9", "dev", "eth0")
      try topology.addRules(
        [
          ["-t", "mangle", "-A", "OUTPUT", "-j", "CONNMARK", "--restore-mark"],
          ["-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT"],
        ], on: host, families: ["iptables", "ip6tables"])
      try topology.nft(
        "table inet firewall { chain input { type filter hook input priority 0; policy accept; tcp dport 22 accept; }; }",
        on: host)
    }
    // The kernel gives each link an address some time after it is up.
    try wait(for: "link-local addresses", until: .seconds(10), every: 20) {
      try HostName.allCases.allSatisfy { host in
        let addresses = try Tool.run("ip", ["-n", topology[host].name, "-6", "-o", "addr", "show", "scope", "link"])
        return addresses.split(separator: "\n").count == 2 && !addresses.contains("tentative")
      }
    }
    let before = try HostName.allCases.map { try topology.networkState(of: $0) }
    var options = DaemonHost.Options()
    options.deadAfter = "1s"
    let pair = try ProtectedPair(topology: topology) { _ in options }
    try pair.startServers()
    let client = try pair.connect(.pingpong, connections: 3)
    var active = HostName.alpha
    for _ in 0..<10 {
      try pair.waitUntilSynced(active: active)
      do { try pair[active].switchOver() } catch { throw LabError("\(error)\(pair.explanation)") }
      active = active.other
      try pair.waitUntilSynced(active: active)
      try pair.waitForProgress(client)
    }
    func expectUnchanged(_ when: String) throws {
      for (host, state) in zip(HostName.allCases, before) {
        let now = try topology.networkState(of: host)
        let change = now.difference(from: state)
        #expect(change.isEmpty, "\(host) \(when): \(change)")
      }
    }
    try expectUnchanged("while the daemon runs")
    client.finish(at: client.progress.least)
    try expectNone(client.report(until: .seconds(30)).failures)
    // The last one that stops keeps the addresses, for connections that nobody can go on with.
    for host in [active.other, active] {
      pair[host].process?.signal(SIGTERM)
      #expect(try pair[host].process?.wait(until: .seconds(20)) == 0)
      #expect(try ListedTable(of: topology[host]) == nil)
    }
    try expectUnchanged("afterwards")
    let addresses = try Tool.run("ip", ["-n", topology[active.other].name, "-o", "addr"])
    for address in [Addresses.service4, Addresses.service6] { #expect(!addresses.contains("\(address)/")) }
  }
}
