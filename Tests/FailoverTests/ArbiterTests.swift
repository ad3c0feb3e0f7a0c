import Glibc
import Lab
import Testing

/// With a real etcd as the arbiter: who acts alone is whoever wins.
@Suite(.serialized)
struct ArbiterTests {
  struct Lab {
    let etcd: EtcdHost
    let streams: FailureDetectionTests.Streams
    var pair: ProtectedPair { streams.pair }

    init(isSecure: Bool = false, policy: String = "allow", members: Int = 1) throws {
      var etcd: EtcdHost?
      let pair = try ProtectedPair(topology: Topology(withServer: true)) { topology in
        try topology.limit("200mbit")
        let host = try EtcdHost(in: topology, isSecure: isSecure, members: members)
        etcd = host
        var options = DaemonHost.Options()
        options.arbiter = host.configuration
        options.soloPolicy = policy
        // A busy machine is late with heartbeats. The standby misses the other host first.
        options.deadAfter = "1s"
        options.exposeAfter = "3s"
        return options
      }
      self.etcd = try #require(etcd)
      streams = try FailureDetectionTests.Streams(pair: pair)
    }

    /// Nothing passes between a host and etcd.
    func cutOff(_ host: HostName) throws { try pair.topology.drop(on: host, "-s", Addresses.server) }
    func connect(_ host: HostName) throws { try pair.topology.accept(on: host, "-s", Addresses.server) }

    func status(_ host: HostName) throws -> DaemonStatus.Pair { try #require(try pair[host].status().pairs.first) }

    /// The key with the last winner, or with who speaks alone.
    func key(_ name: String) throws -> String { try etcd.control("get", "/holdfast/web/\(name)", "--print-value-only") }

    func waitForDenial(_ host: HostName, saying text: String) throws {
      try wait(for: "\(host) to say why it does not act: \(text)\(pair.explanation)", until: .seconds(20)) {
        try status(host).denial?.contains(text) ?? false
      }
    }

    /// How many packets of the service are seen in a second.
    func packetsInASecond() throws -> Int {
      let capture = try pair.topology.capture(bytes: 128, filter: "tcp src portrange 7000-7004")
      try FailureDetectionTests.passes(1_000_000_000)
      return try CaptureCheck(capture.stop(), isService: { _ in true }).packets
    }
  }

  @Test(arguments: [false, true])
  func aStandbyTakesOverWhenItWinsTheEpoch(isSecure: Bool) throws {
    let lab = try Lab(isSecure: isSecure)
    #expect(try lab.status(.alpha).arbiterProblem == nil)
    // A host that is mute without its standby holds nothing.
    try wait(for: "the lease to be given back", until: .seconds(10)) { try lab.key("holder").isEmpty }
    try lab.streams.crash(.alpha)
    #expect(try lab.key("epoch").contains("\"beta\"") && lab.key("holder").contains("\"beta\""))
    try lab.pair.revive(.alpha)
    try wait(for: "the lease to be given back", until: .seconds(10)) { try lab.key("holder").isEmpty }
    try lab.streams.crash(.beta)
    #expect(try lab.key("epoch").contains("\"alpha\""))
    try expectNone(lab.streams.end())
  }

  /// Its threads that wait for etcd take no signal.
  @Test(arguments: HostName.allCases)
  func aDaemonThatIsStoppedEndsInOrder(host: HostName) throws {
    let lab = try Lab()
    let daemon = try #require(lab.pair[host].process)
    daemon.signal(SIGTERM)
    #expect(try daemon.wait(until: .seconds(20)) == 0)
    try lab.pair[host.other].waitUntil(role: "active", replication: "exposed")
    try lab.streams.goOn()
    try expectNone(lab.streams.end())
  }

  @Test func cutOffFromEachOtherTheOneThatReachesTheArbiterGoesOn() throws {
    let lab = try Lab()
    let pair = lab.pair
    try lab.cutOff(.beta)
    try pair.topology.partition()
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    try lab.streams.goOn()
    #expect(try lab.status(.beta).role == "standby")
    try lab.waitForDenial(.beta, saying: "etcd")
    // It is told when it can be: what it holds is old.
    try lab.connect(.beta)
    try lab.waitForDenial(.beta, saying: "alpha acts alone")
    #expect(pair.beta.takeover == nil)
    try pair.topology.unite()
    try pair.waitUntilSynced(active: .alpha)
    try lab.streams.crash(.alpha)
    try expectNone(lab.streams.end())
  }

  @Test func cutOffFromEachOtherTheStandbyThatReachesTheArbiterTakesOver() throws {
    let lab = try Lab()
    let pair = lab.pair
    let address = try pair.topology.linkAddress(of: .alpha)
    try lab.cutOff(.alpha)
    try pair.topology.partition()
    try pair.waitForTakeover()
    let packets = try pair.topology.capture(bytes: 128, filter: "tcp src portrange 7000-7004 and ether src \(address)")
    try lab.streams.goOn()
    #expect(try lab.status(.alpha).replication == "waiting" || lab.status(.alpha).replication == "synced")
    try expectNone(packets.packetsSeen())
    try pair.topology.unite()
    try lab.connect(.alpha)
    try pair.waitUntilSynced(active: .beta)
    try expectNone(lab.streams.end())
  }

  @Test func cutOffFromEachOtherOneOfTheTwoWins() throws {
    let lab = try Lab()
    let pair = lab.pair
    try pair.topology.partition()
    try pair.waitForTakeover()
    // The loser is told by the arbiter, and lets go, though it hears nobody.
    try pair.alpha.waitUntil(role: "fenced")
    try lab.waitForDenial(.alpha, saying: "beta acts alone")
    try lab.streams.goOn()
    try pair.topology.unite()
    try pair.waitUntilSynced(active: .beta)
    try expectNone(lab.streams.end())
  }

  @Test func cutOffFromEverybodyNobodyGoesOn() throws {
    let lab = try Lab()
    let pair = lab.pair
    for host in HostName.allCases { try lab.cutOff(host) }
    try pair.topology.partition()
    for host in HostName.allCases { try lab.waitForDenial(host, saying: "") }
    #expect(try lab.packetsInASecond() == 0)
    #expect(pair.beta.takeover == nil)
    #expect(try lab.status(.alpha).role == "active")
    // The two of them are enough.
    try pair.topology.unite()
    try pair.waitUntilSynced(active: .alpha)
    try lab.streams.goOn()
    for host in HostName.allCases { try lab.connect(host) }
    try expectNone(lab.streams.end())
  }

  @Test func withoutTheArbiterNobodyTakesOverUntilItIsBack() throws {
    let lab = try Lab()
    let pair = lab.pair
    lab.etcd.kill()
    try pair.topology.crash(.alpha)
    try lab.waitForDenial(.beta, saying: "")
    #expect(pair.beta.log.contains("this host does not take over"))
    #expect(try lab.status(.beta).arbiterProblem != nil)
    #expect(pair.beta.takeover == nil)
    try lab.etcd.start()
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0, "\(pair.explanation)")
    try lab.streams.goOn()
    try expectNone(lab.streams.end())
  }

  @Test func anArbiterThatStandsStillDelaysATakeoverAndNothingElse() throws {
    let lab = try Lab()
    let pair = lab.pair
    lab.etcd.process?.signal(SIGSTOP)
    try lab.waitForDenialOrProblem()
    // What needs no permission goes on.
    try lab.streams.goOn()
    try pair.topology.crash(.alpha)
    try lab.waitForDenial(.beta, saying: "")
    #expect(pair.beta.takeover == nil)
    lab.etcd.process?.signal(SIGCONT)
    try pair.waitForTakeover()
    try lab.streams.goOn()
    try expectNone(lab.streams.end())
  }

  /// The endpoint that a host has used so far dies, and later another one stands still: with each it goes on to the next, before a
  /// lease has ended.
  @Test func oneOfSeveralEndpointsMayFail() throws {
    let lab = try Lab(members: 3)
    let pair = lab.pair
    try pair.topology.crash(.beta)
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    lab.etcd.kill(0)
    // Longer than a lease that is not renewed.
    try FailureDetectionTests.passes(8_000_000_000)
    try lab.streams.goOn()
    #expect(try lab.status(.alpha).replication == "exposed" && lab.status(.alpha).arbiterProblem == nil)
    #expect(!pair.alpha.log.contains("the lease has ended"), "\(pair.explanation)")
    try pair.revive(.beta)
    try lab.etcd.start(0)
    lab.etcd.process(1)?.signal(SIGSTOP)
    try lab.streams.crash(.alpha)
    #expect(try lab.key("epoch").contains("\"beta\""))
    lab.etcd.process(1)?.signal(SIGCONT)
    try expectNone(lab.streams.end())
  }

  @Test func aHostThatGoesOnAloneIsMuteWhenItsLeaseEnds() throws {
    let lab = try Lab()
    let pair = lab.pair
    try pair.topology.crash(.beta)
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    try lab.streams.goOn()
    lab.etcd.process?.signal(SIGSTOP)
    try pair.alpha.waitUntil(role: "active", replication: "waiting")
    #expect(pair.alpha.log.contains("the lease has ended"))
    #expect(try lab.packetsInASecond() == 0)
    lab.etcd.process?.signal(SIGCONT)
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    try lab.streams.goOn()
    try pair.revive(.beta)
    try lab.streams.crash(.alpha)
    try expectNone(lab.streams.end())
  }
}

extension ArbiterTests.Lab {
  /// Both hosts have noticed that the arbiter does not answer.
  func waitForDenialOrProblem() throws {
    for host in HostName.allCases {
      try wait(for: "\(host) to miss the arbiter", until: .seconds(20)) { try status(host).arbiterProblem != nil }
    }
  }
}
