import Glibc
import Lab
import TCPModel
import Testing

/// What counts as a host's death, and what does not.
@Suite(.serialized)
struct FailureDetectionTests {
  /// Traffic of two kinds under one capture, from the first packet to the last.
  struct Streams {
    let pair: ProtectedPair
    let clients: [PatternClient]
    let capture: PacketCapture

    init(_ options: DaemonHost.Options = DaemonHost.Options(), shapes: [Shape] = [.both, .pingpong]) throws {
      try self.init(pair: ProtectedPair(options: options) { try $0.limit("200mbit") }, shapes: shapes)
    }

    init(pair: ProtectedPair, shapes: [Shape] = [.both, .pingpong]) throws {
      self.pair = pair
      try pair.startServers()
      capture = try pair.topology.capture(bytes: 192, filter: "tcp portrange 7000-7004")
      let pair = pair
      clients = try shapes.map { try pair.connect($0, connections: 3) }
      try goOn()
    }

    func goOn() throws { for client in clients { try pair.waitForProgress(client) } }

    /// Leads the streams to their end; what is wrong with them.
    /// - Parameter ungatedSince: when a daemon began to end in order, ns since 1970: from then on the kernel's packets are on their own.
    func end(ungatedSince: UInt64? = nil) throws -> [String] {
      try goOn()
      for client in clients { client.finish(at: client.progress.least) }
      let reports = try clients.map { try $0.report(until: .seconds(60)) }
      let check = try CaptureCheck(
        capture.stop(), isService: { (7000...7004).contains($0.port) },
        mayBeOvertaken: { time in ungatedSince.map { time >= $0 } ?? false })
      let violations = pair.violations(reports, check)
      return violations.isEmpty ? [] : violations + [pair.explanation]
    }

    /// Crashes a host, and waits for the other one to go on with all connections.
    func crash(_ host: HostName) throws {
      try pair.topology.crash(host)
      let takeover = try pair.waitForTakeover(by: host.other)
      #expect(takeover.restoredConnections == 3 * clients.count && takeover.lostConnections == 0, "\(pair.explanation)")
      try goOn()
    }
  }

  static func passes(_ nanoseconds: UInt64) throws {
    let end = monotonicNow() + nanoseconds
    try wait(for: "time to pass", until: .seconds(30)) { monotonicNow() >= end }
  }

  @Test func withoutTheReplicationLinkTheActiveHostGoesOnAlone() throws {
    let streams = try Streams()
    let pair = streams.pair
    try pair.topology.cutReplication()
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    try streams.goOn()
    #expect(try pair.beta.status().pairs.first?.role == "standby")
    // What the standby has is old now; it is brought up to date while traffic flows.
    try pair.topology.mendReplication()
    try pair.waitUntilSynced(active: .alpha)
    try streams.goOn()
    #expect(pair.beta.takeover == nil)
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test func withoutTheReplicationLinkAnActiveHostThatMayNotGoOnIsMute() throws {
    var options = DaemonHost.Options()
    options.soloPolicy = "hold"
    options.exposeAfter = "300ms"
    let streams = try Streams(options)
    let pair = streams.pair
    try pair.topology.cutReplication()
    try Self.passes(900_000_000)
    let capture = try pair.topology.capture(bytes: 128, filter: "tcp src portrange 7000-7004")
    try Self.passes(600_000_000)
    try expectNone(capture.packetsSeen())
    #expect(try pair.alpha.status().pairs.first?.role == "active")
    #expect(try pair.beta.status().pairs.first?.role == "standby")
    try pair.topology.mendReplication()
    try pair.waitUntilSynced(active: .alpha)
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test func aClosedReplicationConnectionIsNotDeath() throws {
    let streams = try Streams()
    let pair = streams.pair
    for host in [HostName.alpha, .beta, .alpha] {
      try pair.topology.resetReplication(on: host)
      try pair.waitUntilSynced(active: .alpha)
      try streams.goOn()
    }
    #expect(pair.beta.takeover == nil)
    #expect(pair.beta.log.contains("lost the active host's stream"))
    #expect(try pair.alpha.status().pairs.first?.epoch == 2)
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test(arguments: [0, 1])
  func oneHeartbeatPathIsEnough(silent: Int) throws {
    let streams = try Streams()
    let pair = streams.pair
    let device = silent == 0 ? "rep0" : "eth0"
    for host in HostName.allCases { try pair.topology.drop(on: host, "-i", device, "-p", "udp", "--dport", "7412") }
    try wait(for: "the path to be silent", until: .seconds(10)) {
      try pair.beta.status().pairs.first?.heartbeatPaths.map(\.alive) == [silent != 0, silent != 1]
    }
    for (host, digit) in [(pair.alpha, 1), (pair.beta, 2)] {
      let path = "path=10.\(silent == 0 ? 78 : 77).0.\(digit):7412"
      try wait(for: "the journal to say so: \(host.log)", until: .seconds(10)) {
        host.log.split(separator: "\n").count { $0.hasPrefix("warning no heartbeats arrive") && $0.contains(path) } == 1
      }
    }
    #expect(pair.beta.takeover == nil)
    #expect(try pair.alpha.status().pairs.first?.replication == "synced")
    try streams.goOn()
    // The other one falls silent with its host.
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test func aStandbyThatDiedAndComesBackCanTakeOver() throws {
    let streams = try Streams()
    let pair = streams.pair
    try pair.topology.crash(.beta)
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    try streams.goOn()
    try pair.revive(.beta)
    try streams.goOn()
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test func aHostThatWasPausedFindsItsSuccessorAndSaysNothing() throws {
    // The kernel of a host whose daemon alone is paused answers for the addresses. With the policy to allow that would keep the
    // standby from taking over; that of a host whose machine is paused does not.
    var options = DaemonHost.Options()
    options.soloPolicy = "hold"
    let streams = try Streams(options)
    let pair = streams.pair
    let address = try pair.topology.linkAddress(of: .alpha)
    pair.alpha.process?.signal(SIGSTOP)
    try pair.waitForTakeover()
    try streams.goOn()
    let packets = try pair.topology.capture(bytes: 128, filter: "tcp and ether src \(address)")
    pair.alpha.process?.signal(SIGCONT)
    try pair.waitUntilSynced(active: .beta)
    try streams.goOn()
    try expectNone(packets.packetsSeen())
    #expect(pair.alpha.log.contains("fenced"))
    #expect(try !Tool.run("ip", ["-n", pair.alpha.namespace.name, "addr"]).contains(Addresses.service4))
    // It can take over again.
    try streams.crash(.beta)
    try expectNone(streams.end())
  }

  /// The service manager takes the addresses off a host whose daemon has died (ExecStopPost).
  @Test func aDaemonThatCrashesOnALivingHostIsContinuedByTheOther() throws {
    let streams = try Streams()
    let pair = streams.pair
    pair.alpha.process?.kill()
    try pair.alpha.fence()
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 6)
    try streams.goOn()
    // Started again it finds another host active; the application there has lost its sockets.
    pair.server(on: .alpha)?.kill()
    try pair.alpha.start()
    try pair.startServer(on: .alpha)
    try pair.waitUntilSynced(active: .beta)
    try streams.crash(.beta)
    try expectNone(streams.end())
  }

  @Test func oneStreamOutlivesManyHosts() throws {
    let streams = try Streams()
    for host in [HostName.alpha, .beta, .alpha, .beta] {
      try streams.crash(host)
      try streams.pair.revive(host)
      try streams.goOn()
    }
    try expectNone(streams.end())
  }
}
