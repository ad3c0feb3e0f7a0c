import Glibc
import Lab
import TCPModel
import Testing

/// The most frequent failure in the field: both hosts live, and the network of one of them fails.
@Suite(.serialized)
struct LinkTests {
  private typealias Streams = FailureDetectionTests.Streams

  /// A small machine that is busy must not look like a dead host.
  private static var patient: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.deadAfter = "1s"
    options.exposeAfter = "2s"
    return options
  }

  /// Downloads and uploads at once, and requests with answers.
  private static func streams(_ options: DaemonHost.Options = patient) throws -> Streams {
    try Streams(options, shapes: [.download, .upload, .both, .pingpong])
  }

  private static func expectWhole(_ streams: Streams, ungatedSince: UInt64? = nil) throws {
    let violations = try streams.end(ungatedSince: ungatedSince)
    #expect(violations.isEmpty, "\(violations.joined(separator: "\n"))")
  }

  /// Takes the switch's port of a host down: the host's interface loses its carrier.
  private func pull(_ hosts: HostName..., from pair: ProtectedPair) throws {
    for host in hosts { try pair.topology.lan.ip("link", "set", "v-\(host)", "down") }
  }

  private func plug(_ hosts: HostName..., into pair: ProtectedPair) throws {
    for host in hosts { try pair.topology.lan.ip("link", "set", "v-\(host)", "up") }
  }

  private func status(_ host: DaemonHost) throws -> DaemonStatus.Pair { try #require(try host.status().pairs.first) }

  private func holdsAddresses(_ host: DaemonHost) throws -> Bool {
    let addresses = try Tool.run("ip", ["-n", host.namespace.name, "-o", "addr"])
    return [Addresses.service4, Addresses.service6].contains { addresses.contains("\($0)/") }
  }

  /// Waits until a host has heard that the other one cannot be reached, and knows whether it can itself.
  private func waitForReach(_ host: DaemonHost, own: Bool, peer: Bool) throws {
    try wait(for: "\(host.name) to know who can be reached: \(host.log)", until: .seconds(20)) {
      let pair = try status(host)
      return pair.reachable == own && pair.peerReachable == peer
    }
  }

  @Test func theActiveHostsLinkAloneGoesDown() throws {
    let streams = try Self.streams()
    let pair = streams.pair
    let begun = monotonicNow()
    try pull(.alpha, from: pair)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.detected == 0, "it is a switchover")
    #expect(takeover.restoredConnections == 12 && takeover.lostConnections == 0, "\(pair.explanation)")
    // Half a second after the link, and what a busy machine takes.
    let pause = monotonicNow() - begun
    #expect(pause >= 450_000_000 && pause < 5_000_000_000, "\(pause)")
    try streams.goOn()
    #expect(
      pair.alpha.log.contains("switchover: the link of the service addresses is down here and up on beta"),
      "\(pair.alpha.log)")
    #expect(
      pair.alpha.log.contains(
        "clients cannot reach this host at the service addresses pair=web reason=\"eth0 has no carrier\""))
    try wait(for: "beta to tell of alpha's link", until: .seconds(20)) {
      pair.beta.log.contains("clients cannot reach alpha at the service addresses")
    }
    #expect(try !holdsAddresses(pair.alpha) && holdsAddresses(pair.beta))
    // It follows over the replication link, and can go on again when its link is back.
    try pair.waitUntilSynced(active: .beta)
    try waitForReach(pair.beta, own: true, peer: false)
    #expect(try status(pair.alpha).linkProblem == "eth0 has no carrier")
    // What alpha's kernel had kept while it looked for its neighbours is gone: nothing of it comes late.
    try plug(.alpha, into: pair)
    try waitForReach(pair.beta, own: true, peer: true)
    try wait(for: "the journal to tell of the link's return", until: .seconds(20)) {
      pair.alpha.log.contains("clients can reach this host at the service addresses again")
        && pair.beta.log.contains("clients can reach alpha again")
    }
    try streams.goOn()
    try streams.crash(.beta)
    try Self.expectWhole(streams)
  }

  /// An operator sets the interface itself down, and the kernel forgets its IPv6 addresses.
  @Test func theActiveHostsInterfaceIsSetDown() throws {
    let streams = try Self.streams()
    let pair = streams.pair
    try pair.alpha.namespace.ip("link", "set", "eth0", "down")
    let takeover = try pair.waitForTakeover()
    #expect(takeover.detected == 0 && takeover.restoredConnections == 12 && takeover.lostConnections == 0)
    try streams.goOn()
    #expect(try status(pair.alpha).linkProblem == "eth0 is down")
    try pair.alpha.namespace.ip("link", "set", "eth0", "up")
    try pair.waitUntilSynced(active: .beta)
    #expect(try !holdsAddresses(pair.alpha))
    try Self.expectWhole(streams)
  }

  @Test func aSwitchoverToAHostThatCannotBeReachedIsRefused() throws {
    let streams = try Self.streams()
    let pair = streams.pair
    try pull(.beta, from: pair)
    try waitForReach(pair.alpha, own: true, peer: false)
    do {
      try pair.alpha.switchOver()
      Issue.record("it was not refused\(pair.explanation)")
    } catch {
      #expect("\(error)".contains("web does not move: clients cannot reach beta at the service addresses"), "\(error)")
    }
    try streams.goOn()
    #expect(try status(pair.alpha).role == "active" && status(pair.beta).role == "standby")
    #expect(!pair.alpha.log.contains("switchover:"))
    try plug(.beta, into: pair)
    try waitForReach(pair.alpha, own: true, peer: true)
    try pair.alpha.switchOver()
    try pair.waitForTakeover()
    try Self.expectWhole(streams)
  }

  /// A switch is started anew: both hosts lose their links, and get them back one after the other.
  @Test func withoutAnyLinkNobodyMoves() throws {
    let streams = try Self.streams()
    let pair = streams.pair
    for order in [[HostName.alpha, .beta], [.beta, .alpha]] {
      for host in order { try pull(host, from: pair) }
      for host in [pair.alpha, pair.beta] { try waitForReach(host, own: false, peer: false) }
      try FailureDetectionTests.passes(3_000_000_000)
      for host in order { try plug(host, into: pair) }
      for host in [pair.alpha, pair.beta] { try waitForReach(host, own: true, peer: true) }
      // Longer than a move would take to begin.
      try FailureDetectionTests.passes(1_000_000_000)
      try streams.goOn()
    }
    #expect(try status(pair.alpha).role == "active" && status(pair.beta).role == "standby")
    #expect(try status(pair.alpha).epoch == 2)
    #expect(!pair.alpha.log.contains("switchover:") && pair.beta.takeover == nil)
    try streams.crash(.alpha)
    try Self.expectWhole(streams)
  }

  @Test(arguments: ["allow", "hold"])
  func anOrderlyStopKeepsTheConnectionsWhereClientsAre(_ policy: String) throws {
    var options = Self.patient
    options.soloPolicy = policy
    let streams = try Self.streams(options)
    let pair = streams.pair
    try pull(.beta, from: pair)
    try waitForReach(pair.alpha, own: true, peer: false)
    let stopped = wallClockNow()
    pair.alpha.process?.signal(SIGTERM)
    #expect(try pair.alpha.process?.wait(until: .seconds(20)) == 0)
    #expect(try holdsAddresses(pair.alpha))
    try streams.goOn()
    // Nor does the other host come for them: not without a link, and not when it sees who has the address.
    try FailureDetectionTests.passes(1_500_000_000)
    // A link that flaps is up at the end of one look or another, and was down when the questions went.
    for _ in 0..<(policy == "allow" ? 8 : 0) {
      try plug(.beta, into: pair)
      try FailureDetectionTests.passes(70_000_000)
      try pull(.beta, from: pair)
      try FailureDetectionTests.passes(170_000_000)
    }
    try plug(.beta, into: pair)
    try FailureDetectionTests.passes(3_000_000_000)
    #expect(try !holdsAddresses(pair.beta), "\(pair.explanation)")
    #expect(pair.beta.takeover == nil, "\(pair.explanation)")
    try Self.expectWhole(streams, ungatedSince: stopped)
  }

  @Test func withoutTrackingNobodyMoves() throws {
    var options = Self.patient
    options.pair = "track_links = false"
    let streams = try Self.streams(options)
    let pair = streams.pair
    try pull(.alpha, from: pair)
    try FailureDetectionTests.passes(1_500_000_000)
    #expect(try status(pair.alpha).role == "active" && status(pair.alpha).reachable == nil)
    try plug(.alpha, into: pair)
    try streams.goOn()
    #expect(!pair.alpha.log.contains("switchover:"))
    try Self.expectWhole(streams)
  }

  /// The carrier is there, and behind the next switch nobody is. The client is the witness here: it is on the other side.
  @Test func theActiveHostIsCutOffBehindItsCarrier() throws {
    var options = Self.patient
    options.pair = "witnesses = [\"\(Addresses.client)\", \"fd77::9\"]"
    let streams = try Self.streams(options)
    let pair = streams.pair
    // All witnesses have answered once.
    try FailureDetectionTests.passes(1_000_000_000)
    let mend = try pair.topology.cutLAN(of: .alpha, [.towards])
    let takeover = try pair.waitForTakeover()
    #expect(takeover.detected == 0 && takeover.restoredConnections == 12 && takeover.lostConnections == 0)
    #expect(
      pair.alpha.log.contains("switchover: no witness answers here, and clients can reach beta"), "\(pair.alpha.log)")
    #expect(
      pair.alpha.log.contains("reason=\"no witness answers: \(Addresses.client), fd77::9\""), "\(pair.alpha.log)")
    try streams.goOn()
    try mend()
    try pair.waitUntilSynced(active: .beta)
    try waitForReach(pair.beta, own: true, peer: true)
    try Self.expectWhole(streams)
  }

  /// A witness that is wrong, or gone for both, moves nobody.
  @Test func aWitnessThatIsGoneMovesNobody() throws {
    var options = Self.patient
    options.pair = "witnesses = [\"\(Addresses.server)\", \"10.77.0.21\"]"
    let pair = try ProtectedPair(options: options, withServer: true) { try $0.limit("200mbit") }
    let streams = try Streams(pair: pair)
    try #require(pair.topology.server).ip("link", "set", "eth0", "down")
    for host in [pair.alpha, pair.beta] { try waitForReach(host, own: false, peer: false) }
    try FailureDetectionTests.passes(1_000_000_000)
    try streams.goOn()
    #expect(try status(pair.alpha).role == "active" && status(pair.alpha).epoch == 2)
    #expect(!pair.alpha.log.contains("switchover:"))
    try Self.expectWhole(streams)
  }
}
