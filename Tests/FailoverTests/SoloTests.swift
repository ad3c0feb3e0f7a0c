import Glibc
import Lab
import Testing

/// Without an arbiter, with the policy to allow: the network is looked at before a host acts alone.
@Suite(.serialized)
struct SoloTests {
  static func waitForDenial(_ pair: ProtectedPair, _ host: HostName, saying text: String) throws {
    try wait(for: "\(host) to say why it does not act: \(text)\(pair.explanation)", until: .seconds(20)) {
      try pair[host].status().pairs.first?.denial?.contains(text) ?? false
    }
  }

  /// The daemon does not run, its kernel does: nothing says that the host is dead.
  @Test func nobodyTakesOverWhileSomebodyAnswersForTheAddress() throws {
    let streams = try FailureDetectionTests.Streams()
    let pair = streams.pair
    let hardware = try pair.topology.linkAddress(of: .alpha)
    pair.alpha.process?.signal(SIGSTOP)
    try Self.waitForDenial(pair, .beta, saying: "somebody else answers for 10.77.0.100, at \(hardware)")
    // One address of two is enough.
    try pair.alpha.namespace.ip("addr", "del", "\(Addresses.service4)/24", "dev", "eth0")
    try Self.waitForDenial(pair, .beta, saying: "somebody else answers for fd77::100")
    #expect(pair.beta.takeover == nil)
    #expect(pair.beta.log.contains("this host does not take over"))
    try pair.alpha.namespace.ip("addr", "add", "\(Addresses.service4)/24", "dev", "eth0")
    pair.alpha.process?.signal(SIGCONT)
    try pair.waitUntilSynced(active: .alpha)
    try streams.goOn()
    #expect(try pair.beta.status().pairs.first?.denial == nil)

    // A daemon that died leaves the addresses, until its service manager takes them off.
    pair.alpha.process?.kill()
    try Self.waitForDenial(pair, .beta, saying: "somebody else answers")
    try pair.alpha.fence()
    try pair.waitForTakeover()
    try streams.goOn()
    try expectNone(streams.end())
  }

  /// The witness is a neighbour; it is cut off as this host might be.
  @Test(arguments: [HostName.alpha, .beta])
  func nobodyActsAloneWhileAWitnessIsSilent(survivor: HostName) throws {
    var options = DaemonHost.Options()
    options.more = "witnesses = [\"\(Addresses.server)\", \"fd77::20\"]"
    let pair = try ProtectedPair(options: options, withServer: true) { try $0.limit("200mbit") }
    let server = try #require(pair.topology.server)
    let streams = try FailureDetectionTests.Streams(pair: pair)
    try server.ip("link", "set", "eth0", "down")
    try pair.topology.crash(survivor.other)
    try Self.waitForDenial(pair, survivor, saying: "witnesses do not answer: \(Addresses.server), fd77::20")
    let capture = try pair.topology.capture(bytes: 128, filter: "tcp src portrange 7000-7004")
    try FailureDetectionTests.passes(1_000_000_000)
    try expectNone(capture.packetsSeen())
    #expect(pair.beta.takeover == nil)
    // One of the two is not enough: the kernel has forgotten the IPv6 address with the link.
    try server.ip("link", "set", "eth0", "up")
    try Self.waitForDenial(pair, survivor, saying: "witnesses do not answer: fd77::20")
    try server.ip("addr", "add", "fd77::20/64", "dev", "eth0", "nodad")
    try pair[survivor].waitUntil(role: "active", replication: "exposed")
    try streams.goOn()
    try expectNone(streams.end())
  }
}
