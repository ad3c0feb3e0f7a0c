import Glibc
import Lab
import TCPModel
import Testing

/// The daemon of the active host crashes, and the next one goes on with the connections: their sockets lie with the service manager,
/// which the test plays, at all times.
@Suite(.serialized)
struct DaemonCrashTests {
  private typealias Streams = FailureDetectionTests.Streams

  private static var managed: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.isManaged = true
    // Longer than a start takes, or the standby goes on instead.
    options.deadAfter = "5s"
    options.exposeAfter = "8s"
    return options
  }

  private static func expectNoTakeover(_ pair: ProtectedPair) throws {
    #expect(pair.beta.takeover == nil, "\(pair.explanation)")
    #expect(try pair.alpha.status().pairs.first?.epoch == 2)
  }

  private static func waitUntilProtected(_ pair: ProtectedPair, _ count: Int) throws {
    try pair.waitUntilSynced(active: .alpha)
    try wait(for: "the connections to be protected: \(pair.explanation)", until: .seconds(20)) {
      try pair.alpha.connections().count { $0.protected } == count
    }
  }

  @Test(arguments: [Shape.download, .upload, .both, .pingpong])
  func everyConnectionGoesOnInPlace(_ shape: Shape) throws {
    let streams = try Streams(Self.managed, shapes: [shape])
    let pair = streams.pair
    for round in 0..<3 {
      try pair.alpha.crashAndRestart {
        // As the unit does it; the addresses are back afterwards.
        if round > 0 { try pair.alpha.fence() }
        // Long enough for retransmissions and for full buffers.
        if round == 2 { try FailureDetectionTests.passes(700_000_000) }
      }
      try Self.waitUntilProtected(pair, 3)
      try streams.goOn()
    }
    #expect(pair.alpha.log.contains("goes on with the connections"))
    try Self.expectNoTakeover(pair)
    // The ledgers are what the sockets are: another host can go on with them.
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test func idleConnectionsGoOn() throws {
    let pair = try ProtectedPair(options: Self.managed)
    try pair.startServers()
    let client = try pair.connect(.idle, connections: 3)
    for _ in 0..<2 {
      try pair.alpha.crashAndRestart { try pair.alpha.fence() }
      // Nobody speaks: what the ledgers lack the peers are asked for.
      try Self.waitUntilProtected(pair, 3)
    }
    client.setSpeaking(true)
    try pair.waitForProgress(client)
    try Self.expectNoTakeover(pair)
    client.finish(at: client.progress.least)
    #expect(try client.report(until: .seconds(30)).failures.isEmpty, "\(pair.explanation)")
  }

  /// Before this a crash without a standby was the end of all connections.
  @Test(arguments: ["allow", "hold"])
  func aHostThatIsAloneGoesOn(_ policy: String) throws {
    var options = Self.managed
    options.soloPolicy = policy
    options.exposeAfter = "500ms"
    let streams = try Streams(options)
    let pair = streams.pair
    if policy == "allow" {
      pair.beta.process?.signal(SIGTERM)
      try pair.alpha.waitUntil(role: "active", replication: "exposed")
      try pair.alpha.crashAndRestart { try pair.alpha.fence() }
      try streams.goOn()
      try pair.beta.start()
    } else {
      // Whoever may not go on alone stands still until there are two.
      pair.beta.process?.kill()
      try pair.alpha.waitUntil(role: "active", replication: "waiting")
      try pair.alpha.crashAndRestart { try pair.alpha.fence() }
      try pair.beta.start()
    }
    try Self.waitUntilProtected(pair, 6)
    try streams.goOn()
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  /// It crashes again before the ledgers are complete, or before it is even ready.
  @Test func aSecondCrashIsAsTheFirst() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    for _ in 0..<4 { try pair.alpha.crashAndRestart() }
    try Self.waitUntilProtected(pair, 6)
    try streams.goOn()
    try Self.expectNoTakeover(pair)
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  /// A start that was asked for, after one that was not: what is still missing is not forgotten.
  @Test func anOrderlyRestartFollows() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    try pair.alpha.crashAndRestart()
    try pair.alpha.restartWithConnections()
    try Self.waitUntilProtected(pair, 6)
    try streams.goOn()
    try Self.expectNoTakeover(pair)
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test func whatComesBackTooLateIsFencedAndSaysNothing() throws {
    var options = Self.managed
    options.deadAfter = "200ms"
    options.exposeAfter = "2s"
    let streams = try Streams(options)
    let pair = streams.pair
    let address = try pair.topology.linkAddress(of: .alpha)
    var capture: PacketCapture?
    try pair.alpha.crashAndRestart {
      try pair.alpha.fence()
      let takeover = try pair.waitForTakeover()
      #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0)
      try streams.goOn()
      capture = try pair.topology.capture(bytes: 128, filter: "tcp and ether src \(address)")
    }
    try pair.waitUntilSynced(active: .beta)
    try streams.goOn()
    try expectNone(#require(capture).packetsSeen())
    #expect(pair.alpha.log.contains("fenced"))
    #expect(try !Tool.run("ip", ["-n", pair.alpha.namespace.name, "addr"]).contains(Addresses.service4))
    try streams.crash(.beta)
    try expectNone(streams.end())
  }

  /// The standby has gone on, and is dead itself when the daemon is back: what was kept is of the past, and nobody says so.
  @Test func whatMayBeOfThePastSaysNothing() throws {
    var options = Self.managed
    options.deadAfter = "200ms"
    options.exposeAfter = "1s"
    let streams = try Streams(options, shapes: [.both])
    let pair = streams.pair
    let address = try pair.topology.linkAddress(of: .alpha)
    var capture: PacketCapture?
    try pair.alpha.crashAndRestart {
      try pair.alpha.fence()
      _ = try pair.waitForTakeover()
      try streams.goOn()
      try pair.topology.crash(.beta)
      // Resets are what is to come: whoever asks is told that there is nothing any more.
      capture = try pair.topology.capture(
        bytes: 128, filter: "ip and tcp and tcp[tcpflags] & tcp-rst == 0 and ether src \(address)")
    }
    try wait(for: "a new beginning: \(pair.explanation)", until: .seconds(20)) {
      try pair.alpha.status().pairs.first.map { $0.role == "active" && $0.epoch >= 4 } ?? false
    }
    #expect(pair.alpha.log.contains("a standby may have gone on with the connections meanwhile"))
    #expect(try pair.alpha.connections().isEmpty)
    for client in streams.clients {
      try wait(for: "the connections to end", until: .seconds(30)) { client.progress.firstFailure != nil }
      #expect(client.progress.firstFailure?.contains("reset") == true, "\(client.progress.firstFailure ?? "")")
    }
    try expectNone(#require(capture).packetsSeen())
  }

  @Test func anApplicationThatDiesMeanwhileIsFoundGone() throws {
    let streams = try Streams(Self.managed, shapes: [.pingpong])
    let pair = streams.pair
    try pair.alpha.crashAndRestart {
      let server = try #require(pair.server(on: .alpha))
      server.kill()
      _ = try server.wait(until: .seconds(10))
    }
    try pair.startServer(on: .alpha)
    try streams.goOn()
    try Self.expectNoTakeover(pair)
    #expect(pair.said(by: .alpha).count { $0.hasPrefix("adopted") } == 3)
    try expectNone(streams.end())
  }

  /// What is kept must not keep a connection open that its application has closed.
  @Test func connectionsComeAndGoAfterwardsAsBefore() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    let before = Set(try pair.alpha.connections().map(\.id))
    try pair.alpha.crashAndRestart()
    try Self.waitUntilProtected(pair, 6)
    let more = try pair.connect(.upload, connections: 2)
    #expect(Set(try pair.alpha.connections().map(\.id)).subtracting(before).count == 2)
    more.finish()
    #expect(try more.report(until: .seconds(30)).failures.isEmpty)
    try wait(for: "the ended ones to be forgotten", until: .seconds(20)) {
      Set(try pair.alpha.connections().map(\.id)) == before
    }
    // Nor are they there after another one.
    try pair.alpha.crashAndRestart()
    try Self.waitUntilProtected(pair, 6)
    #expect(Set(try pair.alpha.connections().map(\.id)) == before)
    try streams.goOn()
    for client in streams.clients { client.finish(at: client.progress.least) }
    for client in streams.clients { #expect(try client.report(until: .seconds(60)).failures.isEmpty) }
    let check = try CaptureCheck(streams.capture.stop(), isService: { (7000...7004).contains($0.port) })
    #expect(check.violations.isEmpty)
  }

  @Test func aThousandConnectionsGoOn() throws {
    let pair = try ProtectedPair(options: Self.managed) { try $0.limit("200mbit") }
    try pair.startServers()
    let client = try pair.connect(.pingpong, connections: 1000)
    try pair.alpha.crashAndRestart { try pair.alpha.fence() }
    try Self.waitUntilProtected(pair, 1000)
    try pair.waitForProgress(client, seconds: 60)
    try Self.expectNoTakeover(pair)
    client.finish(at: client.progress.least)
    #expect(try client.report(until: .seconds(60)).failures.isEmpty, "\(pair.explanation)")
  }

  /// An orderly end leaves nothing with the service manager.
  @Test func anOrderlyEndLeavesNothing() throws {
    let pair = try ProtectedPair(options: Self.managed)
    try pair.startServers()
    let client = try pair.connect(.pingpong, connections: 2)
    #expect(pair.alpha.manager?.stored.count == 1)
    pair.alpha.process?.signal(SIGTERM)
    #expect(try pair.alpha.process?.wait(until: .seconds(20)) == 0)
    try wait(for: "the service manager to have nothing", until: .seconds(10)) {
      pair.alpha.manager?.stored.isEmpty == true
    }
    try pair.waitForProgress(client)
    client.finish(at: client.progress.least)
    #expect(try client.report(until: .seconds(30)).failures.isEmpty, "\(pair.explanation)")
  }
}
