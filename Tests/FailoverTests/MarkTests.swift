import Glibc
import Lab
import TCPModel
import Testing

/// Others mark packets, connections and sockets as they like: the gate holds all the same, and what follows from their marks is what
/// it would be without the daemon.
@Suite(.serialized)
struct MarkTests {
  /// Who marks what.
  enum Marking: String, CaseIterable, CustomTestStringConvertible {
    case restored = "CONNMARK --restore-mark in mangle OUTPUT"
    case set = "MARK --set-mark 1 in mangle OUTPUT"
    case application = "SO_MARK after Register"
    case everywhere = "MARK in raw PREROUTING, CONNMARK --save-mark and --restore-mark"
    var testDescription: String { rawValue }

    var server: [String] { self == .application ? ["--mark", "1"] : [] }

    private var rules: [[String]] {
      switch self {
      case .restored: [["-t", "mangle", "-A", "OUTPUT", "-j", "CONNMARK", "--restore-mark"]]
      case .set: [["-t", "mangle", "-A", "OUTPUT", "-j", "MARK", "--set-mark", "1"]]
      case .application: []
      case .everywhere:
        [
          ["-t", "raw", "-A", "PREROUTING", "-p", "tcp", "-j", "MARK", "--set-mark", "5"],
          ["-t", "mangle", "-A", "PREROUTING", "-j", "CONNMARK", "--save-mark"],
          ["-t", "mangle", "-A", "OUTPUT", "-j", "CONNMARK", "--restore-mark"],
        ]
      }
    }

    func apply(to host: HostName, in topology: Topology) throws {
      try topology.addRules(rules, on: host, families: ["iptables", "ip6tables"])
    }
  }

  private static var options: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.soloPolicy = "hold"
    options.exposeAfter = "60s"
    return options
  }

  /// [3]
  @Test(arguments: Marking.allCases.map { ($0, false) } + [(.everywhere, true)])
  func nothingLeavesThatTheStandbyHasNotConfirmed(marking: Marking, isBeforeTheDaemon: Bool) throws {
    let traffic = try OutputCommitTests.Traffic(Self.options, server: marking.server) { topology in
      if isBeforeTheDaemon { for host in HostName.allCases { try marking.apply(to: host, in: topology) } }
    }
    let pair = traffic.pair
    let before = wallClockNow()
    if !isBeforeTheDaemon { for host in HostName.allCases { try marking.apply(to: host, in: pair.topology) } }
    for client in traffic.protected { try pair.waitForProgress(client) }
    let reordered = before...wallClockNow()
    pair.beta.process?.signal(SIGSTOP)
    // What had been confirmed may still be on its way.
    try traffic.letOthersGoOn()
    let counts = try traffic.count()
    #expect(counts.sent == 0)
    #expect(counts.received > 0)
    pair.beta.process?.signal(SIGCONT)
    for client in traffic.protected { try pair.waitForProgress(client) }
    try pair.waitUntilSynced(active: .alpha)
    #expect(try pair.alpha.connections().allSatisfy(\.protected))
    for stranger in traffic.strangers { stranger.stop() }
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0)
    try expectNone(traffic.end(reordered: isBeforeTheDaemon ? nil : reordered))
  }

  /// Marked packets take another way: over a router on the LAN. What the application's mark, or a rule of the host's, decides for a
  /// connection that is not registered it decides for one that is.
  @Test(arguments: [["--mark", "1"], []])
  func routingByMarkIsWhatItIsWithoutTheDaemon(server: [String]) throws {
    let pair = try ProtectedPair(withServer: true) { topology in
      let router = try #require(topology.server)
      try router.setSysctl("net.ipv4.ip_forward", "1")
      for name in ["all", "eth0"] { try router.setSysctl("net.ipv4.conf.\(name).send_redirects", "0") }
      for host in HostName.allCases {
        try topology[host].ip(
          batch:
            "rule add fwmark 1 table 100\nroute add \(Addresses.client) via \(Addresses.server) dev eth0 table 100\n")
        let rule = [
          "-t", "mangle", "-A", "OUTPUT", "-p", "tcp", "--sport", "7003:7103", "-j", "MARK", "--set-mark", "1",
        ]
        if server.isEmpty { try topology.addRules([rule], on: host) }
      }
    }
    let topology = pair.topology
    try pair.startServers(server)
    let plain = try LabProcess.start(
      Products.path(of: "pattern-server"), ["--port", "7100"] + server, in: pair.alpha.namespace)
    try wait(for: "the other server", until: .seconds(20)) { plain.standardOutput.contains("serving") }
    let stranger = try PatternClient(in: topology.client, to: Endpoint(Addresses.service4, 7100), shape: .pingpong)
    let client = try pair.connect(.pingpong)
    /// Packets from a port that left a host towards the router, and towards anybody else.
    func ways(_ port: Int, of host: HostName, _ talk: PatternClient) throws -> (router: Int, others: Int) {
      let router = try #require(topology.server)
      let words = try Tool.run("ip", ["-n", router.name, "-o", "link", "show", "dev", "eth0"]).split(separator: " ")
      let address = try #require(words.firstIndex(of: "link/ether").map { words[$0 + 1] })
      let own = try topology.linkAddress(of: host)
      let capture = try topology.capture(
        bytes: 128, filter: "tcp src port \(port) and ether src \(own) and ether dst \(address)")
      let rest = try topology.capture(
        bytes: 128, filter: "tcp src port \(port) and ether src \(own) and not ether dst \(address)")
      try pair.waitForProgress(talk)
      return (
        try CaptureCheck(capture.stop(), isService: { _ in true }).packets,
        try CaptureCheck(rest.stop(), isService: { _ in true }).packets
      )
    }
    for (port, talk) in [(7103, stranger), (7003, client)] {
      let ways = try ways(port, of: .alpha, talk)
      #expect(ways.router > 0 && ways.others == 0, "port \(port): \(ways)")
    }
    stranger.stop()
    try topology.crash(.alpha)
    #expect(try pair.waitForTakeover().restoredConnections == 1)
    try pair.waitForProgress(client)
    // The restored socket's mark, and the rule of the other host.
    let restored = try ways(7003, of: .beta, client)
    #expect(restored.router > 0 && restored.others == 0, "\(restored)")
    client.finish(at: client.progress.least)
    try expectNone(client.report(until: .seconds(60)).failures)
  }

  /// All 32 bits: none of them is the daemon's.
  @Test(arguments: ["fff0f00d", "1", "80000000"])
  func anApplicationsMarkIsItsOwn(mark: String) throws {
    let pair = try ProtectedPair()
    try pair.startServers(["--mark", "\(try #require(UInt32(mark, radix: 16)))"])
    let client = try pair.connect(.pingpong, connections: 2)
    try pair.waitForProgress(client)
    func expectMark(on host: HostName) throws {
      let sockets = try Tool.run(
        "ss", ["-Htne", "state", "established", "( sport = :7003 )"], in: pair[host].namespace
      ).split(separator: "\n")
      #expect(sockets.count == 2)
      for socket in sockets { #expect(socket.contains("fwmark:0x\(mark)"), "\(host): \(socket)") }
    }
    try expectMark(on: .alpha)
    // The next sample of the socket's options has it.
    try FailureDetectionTests.passes(1_500_000_000)
    for host in HostName.allCases {
      try pair.topology.crash(host)
      try pair.waitForTakeover(by: host.other)
      try pair.waitForProgress(client)
      try expectMark(on: host.other)
      guard host == .alpha else { break }
      try pair.revive(host)
    }
    client.finish(at: client.progress.least)
    try expectNone(client.report(until: .seconds(60)).failures)
  }
}
