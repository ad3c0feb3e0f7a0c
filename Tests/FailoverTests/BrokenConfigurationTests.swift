import Glibc
import Lab
import TCPModel
import Testing

/// A configuration file that cannot be used never ends what works, and never leaves a host that answers for the addresses alone.
@Suite(.serialized)
struct BrokenConfigurationTests {
  private typealias Streams = FailureDetectionTests.Streams

  private static var managed: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.isManaged = true
    options.deadAfter = "5s"
    options.exposeAfter = "8s"
    return options
  }

  private static func addresses(_ host: DaemonHost) throws -> String {
    try Tool.run("ip", ["-n", host.namespace.name, "-o", "addr"])
  }

  /// Starts a second daemon by hand and waits for its end.
  private static func second(_ host: DaemonHost, _ configuration: String? = nil) throws -> LabProcess {
    let process = try LabProcess.start(
      Products.path(of: "holdfastd"), ["--config", configuration ?? host.configurationPath], in: host.namespace)
    _ = try process.wait(until: .seconds(20))
    return process
  }

  @Test func aRestartGoesOnWithTheLastGoodOne() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    let good = try Files.read(pair.alpha.configurationPath)
    for damage in ["[broken\n", good.replacing("prefer", with: "prefers"), nil] {
      try pair.alpha.restartWithConnections {
        if let damage {
          try Files.write(damage, to: pair.alpha.configurationPath)
        } else {
          Files.remove(pair.alpha.configurationPath)
        }
      }
      #expect(pair.alpha.log.contains("goes on with the last good one"), "\(pair.alpha.log)")
      let said = try Tool.run(Products.path(of: "holdfastctl"), ["status", "--socket", pair.alpha.controlPath])
      #expect(said.contains("RUNS WITH THE LAST GOOD ONE"), "\(said)")
      let shown = pair.alpha.manager?.received().last { $0.hasPrefix("STATUS=") } ?? ""
      #expect(shown.hasPrefix("STATUS=RUNS WITH THE LAST GOOD CONFIGURATION: "), "\(shown)")
      try pair.waitUntilSynced(active: .alpha)
      try streams.goOn()
      // For the next restart that is asked for: with this file there is none, and the daemon runs on.
      let daemon = try #require(pair.alpha.process)
      daemon.signal(SIGUSR2)
      try wait(for: "the refusal\(pair.explanation)", until: .seconds(10)) {
        pair.alpha.log.contains("does not restart: the configuration cannot be used")
      }
      #expect(daemon.isRunning)
      try Files.write(good, to: pair.alpha.configurationPath)
    }
    try pair.alpha.restartWithConnections()
    #expect(!pair.alpha.log.contains("last good"))
    try pair.waitUntilSynced(active: .alpha)
    #expect(pair.beta.takeover == nil)
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test func aCrashGoesOnWithTheLastGoodOne() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    try Files.write("[broken\n", to: pair.alpha.configurationPath)
    for _ in 0..<2 {
      try pair.alpha.crashAndRestart { try pair.alpha.fence() }
      try pair.waitUntilSynced(active: .alpha)
      try streams.goOn()
    }
    #expect(pair.beta.takeover == nil)
    #expect(try Self.addresses(pair.alpha).contains("\(Addresses.service4)/"))
    try expectNone(streams.end())
  }

  /// To lose the standby over a mistake in a file would cost the connections their protection.
  @Test func aStandbyGoesOnWithTheLastGoodOne() throws {
    let pair = try ProtectedPair(options: Self.managed)
    try pair.beta.restartWithConnections { try Files.write("[broken\n", to: pair.beta.configurationPath) }
    #expect(pair.beta.log.contains("goes on with the last good one"))
    try pair.waitUntilSynced(active: .alpha)
  }

  @Test func aDaemonThatWasStoppedStartsWithNoOtherThanItsFile() throws {
    let pair = try ProtectedPair(options: Self.managed)
    pair.beta.process?.stop()
    #expect(!Files.exists("\(pair.beta.controlPath).holdfastd.state"))
    try Files.write("[broken\n", to: pair.beta.configurationPath)
    #expect(throws: LabError.self) { try pair.beta.start() }
    #expect(pair.beta.process?.exitStatus == 1)
    #expect(pair.beta.log.contains("the configuration cannot be used"), "\(pair.beta.log)")
  }

  /// Nobody keeps its connections for a daemon that was started by hand: the other host goes on with them, once the addresses are gone.
  @Test func byHandAStartThatFailsAfterACrashTakesTheAddressesOff() throws {
    let streams = try Streams()
    let pair = streams.pair
    try Files.write("[broken\n", to: pair.alpha.configurationPath)
    pair.alpha.process?.kill()
    _ = try pair.alpha.process?.wait(until: .seconds(10))
    let daemon = try Self.second(pair.alpha)
    #expect(daemon.exitStatus == 1)
    let left = try Self.addresses(pair.alpha)
    #expect(!left.contains("\(Addresses.service4)/") && !left.contains("\(Addresses.service6)/"), "\(left)")
    #expect(try pair.waitForTakeover().restoredConnections == 6)
    try expectNone(streams.end())
  }

  /// With the same file, with a broken one, and with another control socket: each ends, and changes nothing.
  @Test func aSecondDaemonEndsAndTheFirstGoesOn() throws {
    let streams = try Streams()
    let pair = streams.pair
    let alpha = pair.alpha
    let state = try Files.read("\(alpha.controlPath).holdfastd.state")
    let (before, rules) = (try Self.addresses(alpha), try Tool.run("nft", ["list", "ruleset"], in: alpha.namespace))
    let other = "\(alpha.folder)/other.toml"
    try Files.write(
      try Files.read(alpha.configurationPath).replacing(alpha.controlPath, with: "\(alpha.folder)/other.sock"),
      to: other)
    let broken = "\(alpha.folder)/broken.toml"
    try Files.write("[broken\n", to: broken)
    for configuration in [alpha.configurationPath, other, broken] {
      let daemon = try Self.second(alpha, configuration)
      #expect(daemon.exitStatus == 1, "\(daemon.standardError)")
      if configuration == alpha.configurationPath {
        #expect(daemon.standardError.contains("a daemon runs already"), "\(daemon.standardError)")
      }
    }
    try Files.write("[broken\n", to: alpha.configurationPath)
    #expect(try Self.second(alpha).exitStatus == 1)
    #expect(try Self.addresses(alpha) == before)
    #expect(Self.shape(try Tool.run("nft", ["list", "ruleset"], in: alpha.namespace)) == Self.shape(rules))
    #expect(try Files.read("\(alpha.controlPath).holdfastd.state") == state)
    #expect(!Files.exists("\(alpha.folder)/other.sock.holdfastd.state"))
    try pair.waitUntilSynced(active: .alpha)
    #expect(pair.beta.takeover == nil)
    try expectNone(streams.end())
  }

  /// A ruleset without its counters.
  private static func shape(_ rules: String) -> String { rules.replacing(/\d+/, with: "") }
}
