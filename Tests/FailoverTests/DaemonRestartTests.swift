import Glibc
import Lab
import TCPModel
import Testing

/// The daemon of the active host ends and starts again, with its connections kept for it by the service manager, which the test
/// plays.
@Suite(.serialized)
struct DaemonRestartTests {
  private typealias Streams = FailureDetectionTests.Streams

  private static var managed: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.isManaged = true
    // Shorter than a restart takes: without the standby's patience it would take over.
    options.deadAfter = "200ms"
    options.exposeAfter = "3s"
    return options
  }

  private static func expectNoTakeover(_ pair: ProtectedPair) throws {
    #expect(pair.beta.takeover == nil, "\(pair.explanation)")
    #expect(try pair.alpha.status().pairs.first?.epoch == 2)
  }

  @Test(arguments: [Shape.download, .upload, .both, .pingpong])
  func everyConnectionGoesOn(_ shape: Shape) throws {
    let streams = try Streams(Self.managed, shapes: [shape])
    let pair = streams.pair
    for round in 0..<3 {
      try pair.alpha.restartWithConnections {
        // In one round long enough for retransmissions and for full buffers.
        if round == 1 { try FailureDetectionTests.passes(700_000_000) }
      }
      try pair.waitUntilSynced(active: .alpha)
      try streams.goOn()
      #expect(try pair.alpha.connections().count { $0.protected } == 3)
      #expect(pair.alpha.manager?.stored.map(\.name).count { !$0.hasPrefix("holdfast-live-") } == 0)
    }
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
      try pair.alpha.restartWithConnections()
      try pair.waitUntilSynced(active: .alpha)
    }
    client.setSpeaking(true)
    try pair.waitForProgress(client)
    try Self.expectNoTakeover(pair)
    client.finish(at: client.progress.least)
    #expect(try client.report(until: .seconds(30)).failures.isEmpty, "\(pair.explanation)")
  }

  @Test func whatComesBackTooLateIsFencedAndSaysNothing() throws {
    var options = Self.managed
    options.restartPatience = "1s"
    let streams = try Streams(options)
    let pair = streams.pair
    let address = try pair.topology.linkAddress(of: .alpha)
    var capture: PacketCapture?
    try pair.alpha.restartWithConnections {
      // The service manager gives up, and the address is free for the standby to take.
      try pair.alpha.fence()
      let takeover = try pair.waitForTakeover()
      #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0)
      #expect(takeover.detected >= 1000)
      try streams.goOn()
      capture = try pair.topology.capture(bytes: 128, filter: "tcp and ether src \(address)")
    }
    try pair.waitUntilSynced(active: .beta)
    try streams.goOn()
    try expectNone(#require(capture).packetsSeen())
    #expect(pair.alpha.log.contains("fenced"))
    #expect(try !Tool.run("ip", ["-n", pair.alpha.namespace.name, "addr"]).contains(Addresses.service4))
    #expect(pair.alpha.manager?.stored.map(\.name).count { !$0.hasPrefix("holdfast-live-") } == 0)
    // It can take over again.
    try streams.crash(.beta)
    try expectNone(streams.end())
  }

  @Test func aHostThatIsAloneGoesOnAfterAPause() throws {
    var options = Self.managed
    options.exposeAfter = "500ms"
    let streams = try Streams(options)
    let pair = streams.pair
    pair.beta.process?.signal(SIGTERM)
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    try pair.alpha.restartWithConnections()
    try streams.goOn()
    // A standby that comes later is brought up to date.
    try pair.beta.start()
    try pair.waitUntilSynced(active: .alpha)
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  /// What was kept is lost: the standby need not wait any longer when the daemon is back without it.
  @Test func withoutWhatWasKeptTheStandbyGoesOn() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    let daemon = try #require(pair.alpha.process)
    daemon.signal(SIGUSR2)
    #expect(try daemon.wait(until: .seconds(20)) == 0)
    let forgetful = try DaemonHost(.alpha, in: pair.topology, options: DaemonHost.Options())
    try forgetful.start()
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0)
    #expect(takeover.detected < 10_000)
    try forgetful.waitUntil(role: "standby", replication: "synced")
    try expectNone(streams.end())
  }

  @Test func anApplicationThatDiesMeanwhileIsFoundGone() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    try pair.alpha.restartWithConnections {
      let server = try #require(pair.server(on: .alpha))
      server.kill()
      _ = try server.wait(until: .seconds(10))
    }
    // Another process of it goes on with the connections, on this host.
    try pair.startServer(on: .alpha)
    try streams.goOn()
    try Self.expectNoTakeover(pair)
    #expect(pair.said(by: .alpha).count { $0.hasPrefix("adopted") } == 6)
    try expectNone(streams.end())
  }

  @Test func connectionsComeAndGoAfterwardsAsBefore() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    let before = Set(try pair.alpha.connections().map(\.id))
    try pair.alpha.restartWithConnections()
    try pair.waitUntilSynced(active: .alpha)
    let more = try pair.connect(.upload, connections: 2)
    #expect(Set(try pair.alpha.connections().map(\.id)).subtracting(before).count == 2)
    more.finish()
    #expect(try more.report(until: .seconds(30)).failures.isEmpty)
    try wait(for: "the ended ones to be forgotten", until: .seconds(20)) {
      Set(try pair.alpha.connections().map(\.id)) == before
    }
    try streams.goOn()
    for client in streams.clients { client.finish(at: client.progress.least) }
    for client in streams.clients { #expect(try client.report(until: .seconds(60)).failures.isEmpty) }
    let check = try CaptureCheck(streams.capture.stop(), isService: { (7000...7004).contains($0.port) })
    #expect(check.violations.isEmpty)
  }

  /// Several times as many as one message carries.
  @Test func aThousandConnectionsGoOn() throws {
    var options = Self.managed
    options.deadAfter = "2s"
    let pair = try ProtectedPair(options: options) { try $0.limit("200mbit") }
    try pair.startServers()
    let client = try pair.connect(.pingpong, connections: 1000)
    try pair.alpha.restartWithConnections()
    try pair.waitUntilSynced(active: .alpha)
    try pair.waitForProgress(client, seconds: 60)
    try Self.expectNoTakeover(pair)
    client.finish(at: client.progress.least)
    #expect(try client.report(until: .seconds(60)).failures.isEmpty, "\(pair.explanation)")
  }
}
