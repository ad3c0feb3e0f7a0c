import Glibc
import Lab
import Testing

/// `holdfastctl fence`: what the service manager calls when the daemon has failed.
@Suite(.serialized)
struct FenceTests {
  private func fence(
    _ host: DaemonHost, _ configuration: String? = nil, _ more: [String] = [], environment: [String: String] = [:]
  ) throws -> LabProcess {
    let command = try LabProcess.start(
      Products.path(of: "holdfastctl"), ["fence", "--config", configuration ?? host.configurationPath] + more,
      in: host.namespace, environment: environment)
    _ = try command.wait(until: .seconds(20))
    return command
  }

  private func addresses(_ host: DaemonHost) throws -> String {
    try Tool.run("ip", ["-n", host.namespace.name, "-o", "addr"])
  }

  @Test func nothingLeavesAFencedHostAndTheNextStartPutsItInOrder() throws {
    var options = DaemonHost.Options()
    options.deadAfter = "4s"
    options.exposeAfter = "4s"
    let pair = try ProtectedPair(options: options)
    try pair.startServers()
    let client = try pair.connect(.both, connections: 2)
    try pair.waitForProgress(client)
    pair.alpha.process?.kill()
    try pair.alpha.process?.wait(until: .seconds(10))
    #expect(try fence(pair.alpha).exitStatus == 0)
    #expect(try !addresses(pair.alpha).contains("\(Addresses.service4)/"))
    #expect(try !addresses(pair.alpha).contains("\(Addresses.service6)/"))
    let capture = try pair.topology.capture(bytes: 128, filter: "tcp src portrange 7000-7004")
    try FailureDetectionTests.passes(700_000_000)
    try expectNone(capture.packetsSeen())
    // Twice is the same as once.
    #expect(try fence(pair.alpha).exitStatus == 0)
    try pair.alpha.start()
    try pair.alpha.waitUntil(role: "standby", replication: "synced", seconds: 60)
    client.finish(at: client.progress.least)
    #expect(try client.report(until: .seconds(60)).failures.isEmpty, "\(pair.explanation)")
  }

  @Test func itRefusesWhileADaemonRuns() throws {
    let topology = try Topology()
    let host = try DaemonHost(.alpha, in: topology)
    try host.start()
    try host.waitUntil(role: "active")
    let command = try fence(host)
    #expect(command.exitStatus == 1)
    #expect(command.standardError.contains("a daemon runs"), "\(command.standardError)")
    #expect(try addresses(host).contains("\(Addresses.service4)/"))
  }

  @Test func aConfigurationThatCannotBeReadIsSaid() throws {
    let folder = try Scratch.subfolder("nothing")
    let command = try LabProcess.start(
      Products.path(of: "holdfastctl"), ["fence", "--config", "/nonexistent.toml", "--runtime", folder])
    #expect(try command.wait(until: .seconds(20)) == 1)
    #expect(command.standardError.contains("/nonexistent.toml"), "\(command.standardError)")
    #expect(command.standardError.contains("no daemon has written down its addresses"), "\(command.standardError)")
  }

  enum Damage: String, CaseIterable, CustomTestStringConvertible {
    case syntax, missing, otherFile
    var testDescription: String { rawValue }
  }

  /// The daemon crashes and its configuration does not parse: the addresses go, and the standby goes on with the connections.
  @Test(arguments: Damage.allCases)
  func withoutAConfigurationTheAddressesGoAndTheStandbyGoesOn(_ damage: Damage) throws {
    let streams = try FailureDetectionTests.Streams()
    let pair = streams.pair
    let alpha = pair.alpha
    var configuration = alpha.configurationPath
    switch damage {
    case .syntax: try Files.write("[broken\n", to: configuration)
    case .missing: Files.remove(configuration)
    case .otherFile:
      configuration = "\(alpha.folder)/bad.toml"
      try Files.write("[broken\n", to: configuration)
    }
    let daemon = try #require(alpha.process)
    daemon.kill()
    _ = try daemon.wait(until: .seconds(10))
    let command = try fence(alpha, configuration)
    #expect(command.exitStatus == 0, "\(command.standardError)")
    #expect(command.standardError.contains("takes the addresses from what the daemon has written down"))
    #expect(command.standardError.contains(configuration), "what is wrong with it: \(command.standardError)")
    let left = try addresses(alpha)
    #expect(!left.contains("\(Addresses.service4)/") && !left.contains("\(Addresses.service6)/"), "\(left)")
    #expect(left.contains("\(Addresses.alpha)/"))
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0)
    // Twice is the same as once.
    #expect(try fence(alpha, configuration).exitStatus == 0)
    try expectNone(streams.end())
  }

  @Test func anAddressGoesThatTheDaemonHadAndTheConfigurationHasNoMore() throws {
    let topology = try Topology()
    let host = try DaemonHost(.alpha, in: topology)
    try host.start()
    try host.waitUntil(role: "active")
    try host.edit(replacing: ", \"\(Addresses.service6)/64 dev eth0\"", with: ", \"10.77.0.150/24 dev eth0\"")
    host.process?.kill()
    _ = try host.process?.wait(until: .seconds(10))
    try Tool.run("ip", ["-n", host.namespace.name, "addr", "add", "10.77.0.150/24", "dev", "eth0"])
    #expect(try fence(host).exitStatus == 0)
    let left = try addresses(host)
    for address in [Addresses.service4, Addresses.service6, "10.77.0.150"] {
      #expect(!left.contains("\(address)/"), "\(left)")
    }
  }

  @Test func itRefusesWhileADaemonRunsWhateverTheConfigurationSays() throws {
    let topology = try Topology()
    let host = try DaemonHost(.alpha, in: topology)
    try host.start()
    try host.waitUntil(role: "active")
    try Files.write("[broken\n", to: host.configurationPath)
    for more in [[], ["--runtime", host.folder]] {
      let command = try fence(host, nil, more)
      #expect(command.exitStatus == 1)
      #expect(command.standardError.contains("a daemon runs"), "\(command.standardError)")
    }
    #expect(try addresses(host).contains("\(Addresses.service4)/"))
  }

  /// Another host's, in its own network namespace, lies in the same file system.
  @Test func whatAnotherHostsDaemonHasStays() throws {
    let pair = try ProtectedPair()
    for host in [pair.alpha, pair.beta] {
      host.process?.kill()
      _ = try host.process?.wait(until: .seconds(10))
    }
    let command = try fence(pair.beta, "/nonexistent.toml", ["--runtime", pair.alpha.folder])
    #expect(command.exitStatus == 1, "\(command.standardError)")
    // In the folder that a service manager names.
    let service = try fence(pair.alpha, "/nonexistent.toml", environment: ["RUNTIME_DIRECTORY": pair.alpha.folder])
    #expect(service.exitStatus == 0, "\(service.standardError)")
    #expect(try !addresses(pair.alpha).contains("\(Addresses.service4)/"))
  }

  @Test func whatIsDamagedIsSaidAndDoesNotStopIt() throws {
    let topology = try Topology()
    let host = try DaemonHost(.alpha, in: topology)
    try host.start()
    try host.waitUntil(role: "active")
    host.process?.kill()
    _ = try host.process?.wait(until: .seconds(10))
    try Files.write([0xff, 0x00, 0x7b], to: "\(host.controlPath).holdfastd.state")
    let command = try fence(host)
    #expect(command.exitStatus == 0)
    #expect(command.standardError.contains("cannot read what the daemon has written down"))
    try Files.write("[broken\n", to: host.configurationPath)
    #expect(try fence(host).exitStatus == 1)
  }
}
