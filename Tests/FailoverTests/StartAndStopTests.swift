import Glibc
import Lab
import TCPModel
import Testing

/// The daemon's beginning and end, as a service manager and an operator see them.
@Suite(.serialized)
struct StartAndStopTests {
  private typealias Streams = FailureDetectionTests.Streams

  private func table(_ host: DaemonHost) throws -> [String]? { try ListedTable(of: host.namespace)?.content }

  private func holdsAddresses(_ host: DaemonHost) throws -> [Bool] {
    let addresses = try Tool.run("ip", ["-n", host.namespace.name, "-o", "addr"])
    return [Addresses.service4, Addresses.service6].map { addresses.contains("\($0)/") }
  }

  @Test func anOrderlyStopOfTheActiveHostMovesTheConnections() throws {
    let streams = try Streams()
    let pair = streams.pair
    pair.alpha.process?.signal(SIGTERM)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0)
    #expect(try pair.alpha.process?.wait(until: .seconds(10)) == 0)
    #expect(try table(pair.alpha) == nil)
    #expect(try holdsAddresses(pair.alpha) == [false, false])
    #expect(try holdsAddresses(pair.beta) == [true, true])
    try expectNone(streams.end())
  }

  @Test func anOrderlyStopOfTheStandbyKeepsNobodyWaiting() throws {
    var options = DaemonHost.Options()
    // Long enough that waiting for it would be seen.
    options.exposeAfter = "60s"
    let streams = try Streams(options)
    let pair = streams.pair
    pair.beta.process?.signal(SIGTERM)
    #expect(try pair.beta.process?.wait(until: .seconds(10)) == 0)
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    #expect(try table(pair.beta) == nil)
    try expectNone(streams.end())
  }

  @Test func anOrderlyStopWithoutAStandbyLetsTheConnectionsGoOnUnprotected() throws {
    let streams = try Streams()
    let pair = streams.pair
    pair.beta.process?.signal(SIGTERM)
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    pair.alpha.process?.signal(SIGTERM)
    #expect(try pair.alpha.process?.wait(until: .seconds(10)) == 0)
    #expect(try table(pair.alpha) == nil)
    try expectNone(streams.end())
  }

  @Test func aSecondDaemonOnTheSameConfigurationRefusesAndHarmsNothing() throws {
    let streams = try Streams()
    let pair = streams.pair
    for host in [pair.alpha, pair.beta] {
      let before = try #require(try table(host))
      let second = try LabProcess.start(
        Products.path(of: "holdfastd"), ["--config", host.configurationPath], in: host.namespace)
      #expect(try second.wait(until: .seconds(20)) == 1)
      #expect(second.standardError.contains("already"), "\(second.standardError)")
      #expect(try table(host) == before)
      _ = try host.status()
    }
    try streams.goOn()
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test func theTableThatACrashLeftIsTheNextStarts() throws {
    let pair = try ProtectedPair()
    for host in [pair.beta, pair.alpha] {
      host.process?.kill()
      try host.process?.wait(until: .seconds(10))
      let before = try #require(try table(host), "a daemon that is gone has taken its table along")
      try host.start()
      try host.waitUntil(role: "standby")
      #expect(try table(host) == before)
    }
    try pair.waitUntilSynced(active: .beta)
    for host in [pair.alpha, pair.beta] {
      host.process?.signal(SIGTERM)
      #expect(try host.process?.wait(until: .seconds(10)) == 0)
      #expect(try table(host) == nil)
    }
  }

  /// The test plays the service manager (sd_notify(3), sd_watchdog_enabled(3)).
  @Test func theServiceManagerIsToldHowTheDaemonIs() throws {
    let topology = try Topology()
    let host = try DaemonHost(.alpha, in: topology)
    let manager = try NotifySocket(path: "\(host.folder)/notify")
    try host.start(environment: ["NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "200000"])
    try wait(for: "READY=1", until: .seconds(10)) { manager.received().contains("READY=1") }
    try wait(for: "the status of an active host: \(manager.received())", until: .seconds(10)) {
      manager.received().contains { $0.hasPrefix("STATUS=active for web (0 connections") }
    }
    try wait(for: "the watchdog", until: .seconds(10)) { manager.received().count { $0 == "WATCHDOG=1" } >= 5 }
    // A daemon that hangs does not feed it.
    host.process?.signal(SIGSTOP)
    try FailureDetectionTests.passes(100_000_000)
    let before = manager.received().count { $0 == "WATCHDOG=1" }
    try FailureDetectionTests.passes(600_000_000)
    #expect(manager.received().count { $0 == "WATCHDOG=1" } == before)
    host.process?.signal(SIGCONT)
    try wait(for: "the watchdog again", until: .seconds(10)) {
      manager.received().count { $0 == "WATCHDOG=1" } > before + 2
    }
    #expect(!manager.received().contains("STOPPING=1"))
    host.process?.signal(SIGTERM)
    #expect(try host.process?.wait(until: .seconds(10)) == 0)
    #expect(manager.received().contains("STOPPING=1"))
  }
}

/// Networks that are not there when the daemon starts.
@Suite(.serialized)
struct LateNetworkTests {
  /// The replication link, its address and its heartbeat path come up after both daemons.
  @Test func aLinkThatComesUpLaterIsUsed() throws {
    let topology = try Topology()
    for host in HostName.allCases {
      try topology[host].ip(batch: "addr del 10.78.0.\(host.digit)/24 dev rep0\nlink set rep0 down\n")
    }
    var options = DaemonHost.Options()
    options.deadAfter = "1s"
    let alpha = try DaemonHost(.alpha, in: topology, options: options)
    let beta = try DaemonHost(.beta, in: topology, options: options)
    try alpha.start()
    try beta.start()
    try alpha.waitUntil(role: "active")
    try beta.waitUntil(role: "standby")
    #expect(try alpha.status().pairs.first?.heartbeatPaths.map(\.alive) == [false, true])
    for host in HostName.allCases {
      try topology[host].ip(batch: "link set rep0 up\naddr add 10.78.0.\(host.digit)/24 dev rep0\n")
    }
    try alpha.waitUntil(role: "active", replication: "synced")
    try wait(for: "heartbeats over the link", until: .seconds(20)) {
      try [alpha, beta].allSatisfy { try $0.status().pairs.first?.heartbeatPaths.map(\.alive) == [true, true] }
    }
  }
}
