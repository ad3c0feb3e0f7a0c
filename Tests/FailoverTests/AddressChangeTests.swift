import Glibc
import Lab
import TCPModel
import Testing

/// Hosts whose addresses change under the pair: network managers, operators and links that come and go.
@Suite(.serialized)
struct AddressChangeTests {
  private typealias Streams = FailureDetectionTests.Streams

  private func ip(_ host: DaemonHost, _ arguments: String...) throws -> String {
    try Tool.run("ip", ["-n", host.namespace.name] + arguments)
  }

  private func isHere(_ address: String, on host: DaemonHost) throws -> Bool {
    try ip(host, "-o", "addr").contains(" \(address)/")
  }

  private func waitUntilBack(_ address: String, on host: DaemonHost, within seconds: Double = 1) throws {
    try wait(for: "\(address) to be back: \(host.log)", until: .seconds(seconds)) { try isHere(address, on: host) }
  }

  private func events(_ host: DaemonHost, _ message: String) -> Int {
    host.log.split(separator: "\n").count { $0.contains(message) }
  }

  /// Addresses and routes of a host, all that it shows of them.
  private func picture(_ host: DaemonHost) throws -> String {
    try ["-4", "-6"].map { try ip(host, $0, "addr") + ip(host, $0, "route", "show", "table", "all") }.joined()
  }

  @Test(arguments: ["\(Addresses.service4)/24", "\(Addresses.service6)/64"])
  func anAddressThatIsRemovedComesBack(_ address: String) throws {
    let pair = try ProtectedPair { try $0.limit("200mbit") }
    try pair.startServers()
    let plain = String(address.prefix { $0 != "/" })
    let capture = try pair.topology.capture(bytes: 192, filter: "tcp portrange 7000-7004")
    let clients = try [Shape.both, .pingpong].map { try pair.connect($0, address: plain, connections: 3) }
    for client in clients { try pair.waitForProgress(client) }
    _ = try ip(pair.alpha, "addr", "del", address, "dev", "eth0")
    try waitUntilBack(plain, on: pair.alpha)
    for client in clients { try pair.waitForProgress(client) }
    #expect(events(pair.alpha, "a service address was gone from this host") == 1, "\(pair.alpha.log)")
    #expect(pair.alpha.log.contains("interface=eth0"))
    #expect(pair.beta.takeover == nil)
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0)
    for client in clients { try pair.waitForProgress(client) }
    for client in clients { client.finish(at: client.progress.least) }
    let reports = try clients.map { try $0.report(until: .seconds(60)) }
    let check = try CaptureCheck(capture.stop(), isService: { (7000...7004).contains($0.port) })
    #expect(pair.violations(reports, check) == [], "\(pair.explanation)")
  }

  /// The kernel takes the IPv6 addresses of an interface that goes down, and they are gone for good.
  @Test func addressesThatALinkHasLostComeBack() throws {
    let streams = try Streams()
    let pair = streams.pair
    try pair.alpha.namespace.ip(batch: "link set eth0 down\nlink set eth0 up\naddr add fd77::1/64 dev eth0 nodad\n")
    try waitUntilBack(Addresses.service6, on: pair.alpha)
    try waitUntilBack(Addresses.service4, on: pair.alpha)
    try streams.goOn()
    try expectNone(streams.end())
    let client = try pair.connect(.pingpong, address: Addresses.service6)
    try pair.waitForProgress(client)
    client.finish(at: client.progress.least)
    #expect(try client.report(until: .seconds(60)).failures.isEmpty)
  }

  /// The host's own address is the first of its network. With promote_secondaries=0 it takes the service address along.
  @Test func theHostsOwnAddressIsSetAnew() throws {
    let streams = try Streams()
    let pair = streams.pair
    for name in ["all", "eth0"] {
      try pair.alpha.namespace.setSysctl("net.ipv4.conf.\(name).promote_secondaries", "0")
    }
    try pair.alpha.namespace.ip(batch: "addr del 10.77.0.1/24 dev eth0\naddr add 10.77.0.1/24 dev eth0\n")
    try waitUntilBack(Addresses.service4, on: pair.alpha)
    try wait(for: "the host's own address to come first: \(pair.alpha.log)", until: .seconds(10)) {
      try ip(pair.alpha, "route", "get", Addresses.client).contains("src \(Addresses.alpha) ")
    }
    try streams.goOn()
    try pair.alpha.switchOver()
    try pair.waitUntilSynced(active: .beta)
    #expect(try isHere(Addresses.alpha, on: pair.alpha) && !isHere(Addresses.service4, on: pair.alpha))
    try expectNone(streams.end())
  }

  /// What other programs of the host open leaves from the host's own address.
  @Test func noProgramChoosesTheServiceAddress() throws {
    let pair = try ProtectedPair()
    let source = { (host: DaemonHost) in try ip(host, "-6", "route", "get", "fd77::9") }
    #expect(try source(pair.alpha).contains("src fd77::1 "))
    try pair.topology.crash(.alpha)
    try pair.beta.waitUntil(role: "active")
    #expect(try isHere(Addresses.service6, on: pair.beta))
    #expect(try source(pair.beta).contains("src fd77::2 "))
  }

  @Test func tenMovesLeaveNoTrace() throws {
    let pair = try ProtectedPair()
    // The laboratory's links are young.
    try wait(for: "the links to have their carrier and their own addresses", until: .seconds(20)) {
      try [pair.alpha, pair.beta].map(picture).allSatisfy { !$0.contains("NO-CARRIER") && !$0.contains("tentative") }
    }
    try pair.alpha.switchOver()
    try pair.waitUntilSynced(active: .beta)
    let alpha = try picture(pair.alpha)
    try pair.beta.switchOver()
    try pair.waitUntilSynced(active: .alpha)
    let beta = try picture(pair.beta)
    for _ in 0..<5 {
      try pair.alpha.switchOver()
      try pair.waitUntilSynced(active: .beta)
      let after = try picture(pair.alpha)
      #expect(after == alpha)
      try pair.beta.switchOver()
      try pair.waitUntilSynced(active: .alpha)
      let afterwards = try picture(pair.beta)
      #expect(afterwards == beta)
    }
  }

  /// The host may not have IPv6 addresses any more: the other one has the service's.
  @Test func aHostThatCannotHoldAnAddressGivesThePairAway() throws {
    let streams = try Streams()
    let pair = streams.pair
    try pair.alpha.namespace.setSysctl("net.ipv6.conf.eth0.disable_ipv6", "1")
    try pair.waitUntilSynced(active: .beta)
    try streams.goOn()
    #expect(events(pair.alpha, "this host cannot hold a service address") == 1, "\(pair.alpha.log)")
    #expect(events(pair.alpha, "moves to the other host") == 1, "\(pair.alpha.log)")
    #expect(try isHere(Addresses.service6, on: pair.beta) && isHere(Addresses.service4, on: pair.beta))
    try expectNone(streams.end())
  }

  @Test func statusShowsWhatIs() throws {
    let pair = try ProtectedPair()
    func said(_ host: DaemonHost) throws -> String {
      try Tool.run(Products.path(of: "holdfastctl"), ["status", "--socket", host.controlPath], in: host.namespace)
    }
    #expect(try said(pair.alpha).contains("\(Addresses.service4)/24 dev eth0: here\n"))
    #expect(try said(pair.beta).contains("\(Addresses.service4)/24 dev eth0: not here\n"))
    try pair.beta.namespace.ip("addr", "add", "\(Addresses.service4)/24", "dev", "eth0")
    #expect(try said(pair.beta).contains("\(Addresses.service4)/24 dev eth0: HERE, beside the active host\n"))
    try wait(for: "an entry: \(pair.beta.log)", until: .seconds(10)) {
      events(pair.beta, "a service address is on this host, which does not hold it") == 1
    }
    try pair.alpha.namespace.setSysctl("net.ipv6.conf.eth0.disable_ipv6", "1")
    #expect(try said(pair.alpha).contains("\(Addresses.service6)/64 dev eth0: NOT HERE\n"))
  }

  /// Both hosts were active while nothing passed between them. Neighbours that keep their entries for an hour have heard the loser.
  @Test func theWinnerOfAConflictAnnouncesItself() throws {
    let topology = try Topology()
    try topology.client.setSysctl("net.ipv4.neigh.eth0.base_reachable_time_ms", "3600000")
    try topology.client.setSysctl("net.ipv4.neigh.eth0.gc_stale_time", "3600")
    let pair = try ProtectedPair(topology: topology) { _ in DaemonHost.Options() }
    // At the switch, behind beta's carrier.
    func setPort(_ state: String) throws {
      try Tool.run("bridge", "-n", topology.lan.name, "link", "set", "dev", "v-beta", "state", state)
    }
    try topology.cutReplication()
    try setPort("0")
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    try pair.beta.waitUntil(role: "active")
    // The announcements of their first seconds are over, on both hosts.
    try FailureDetectionTests.passes(3_300_000_000)
    let epochs = try [pair.alpha, pair.beta].map { try $0.status().pairs.first?.epoch ?? 0 }
    let winner: HostName = epochs[1] > epochs[0] ? .beta : .alpha
    let (wrong, right) = (try topology.linkAddress(of: winner.other), try topology.linkAddress(of: winner))
    try topology.client.ip(
      "neigh", "replace", Addresses.service4, "lladdr", wrong, "nud", "reachable", "dev", "eth0")
    try setPort("3")
    try pair[winner.other].waitUntil(role: "standby")
    try wait(for: "the neighbour to learn: \(pair.explanation)", until: .seconds(1)) {
      try Tool.run("ip", "-n", topology.client.name, "neigh", "show", Addresses.service4).contains(right)
    }
  }
}
