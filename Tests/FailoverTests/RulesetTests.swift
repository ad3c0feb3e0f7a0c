import Glibc
import Lab
import Testing

/// Somebody takes a host's packet rules away. Nothing may hang, be reset or lose a byte that status called protected at the crash.
@Suite(.serialized)
struct RulesetTests {
  /// How the rules go.
  enum Flush: String, CaseIterable, CustomTestStringConvertible {
    /// The kernel keeps the daemon's table from everybody else.
    case owned = "nft flush ruleset"
    case notOwned = "nft flush ruleset, the table has no owner"
    case tableDeleted = "nft delete table, the table has no owner"
    /// Rules of iptables(8) alone.
    case mangle = "iptables -t mangle -F"
    var testDescription: String { rawValue }

    var options: DaemonHost.Options {
      var options = DaemonHost.Options()
      // A machine that is busy must not look like a dead host.
      options.deadAfter = "1s"
      options.exposeAfter = "3s"
      if self == .notOwned || self == .tableDeleted { options.node = "owned_table = false" }
      return options
    }

    func strike(_ host: HostName, in topology: Topology) throws {
      switch self {
      case .owned, .notOwned: try topology.flushRuleset(of: host)
      case .tableDeleted: try topology.damage(.tableDeleted, on: host)
      case .mangle:
        for tool in ["iptables", "ip6tables"] { try Tool.run(tool, ["-w", "-t", "mangle", "-F"], in: topology[host]) }
      }
    }
  }

  enum Departure: String, CaseIterable, CustomTestStringConvertible {
    case crash, switchover
    var testDescription: String { rawValue }

    func happen(_ pair: ProtectedPair, _ host: HostName) throws {
      switch self {
      case .crash: try pair.topology.crash(host)
      case .switchover:
        do { try pair[host].switchOver() } catch { throw LabError("\(error)\(pair.explanation)") }
      }
    }
  }

  private func streams(_ flush: Flush, address: String = Addresses.service4) throws -> ProtectedStreams {
    try ProtectedStreams(ProtectedPair(options: flush.options) { try $0.limit("100mbit") }, address: address)
  }

  /// [1]
  @Test(arguments: Flush.allCases, Departure.allCases)
  func whatIsProtectedTwoSecondsLaterGoesOn(flush: Flush, departure: Departure) throws {
    let streams = try streams(flush, address: departure == .crash ? Addresses.service4 : Addresses.service6)
    try streams.strike { try flush.strike(.alpha, in: $0) }
    try FailureDetectionTests.passes(2_000_000_000)
    // With traffic, and without: none stays unprotected.
    try streams.waitUntilProtected(on: .alpha)
    #expect(try streams.leave(.alpha, by: departure.happen) == streams.clients.count)
    try expectNone(streams.end())
  }

  /// [2]
  @Test(arguments: Flush.allCases)
  func theStandbysRulesAreThereWhenItTakesOver(flush: Flush) throws {
    let streams = try streams(flush)
    try streams.strike { try flush.strike(.beta, in: $0) }
    try FailureDetectionTests.passes(2_000_000_000)
    try streams.pair.waitUntilSynced(active: .alpha)
    try streams.waitUntilProtected(on: .alpha)
    #expect(try streams.leave(.alpha) == streams.clients.count)
    try expectNone(streams.end())
  }

  /// The crash meets every step of the way back.
  @Test(arguments: [Flush.owned, .notOwned, .tableDeleted], HostName.allCases)
  func atRandomInstantsNothingThatIsCalledProtectedIsLost(flush: Flush, host: HostName) throws {
    var dice = Dice()
    for round in 1...3 {
      let comment = "round \(round) of seed \(dice.seed)"
      let streams = try streams(flush, address: dice.falls(0.5) ? Addresses.service4 : Addresses.service6)
      try FailureDetectionTests.passes(dice.pick(0...500_000_000))
      try streams.strike { try flush.strike(host, in: $0) }
      try FailureDetectionTests.passes(dice.falls(0.5) ? dice.pick(0...50_000_000) : dice.pick(0...1_500_000_000))
      try streams.leave(.alpha)
      let violations = try streams.end()
      #expect(violations == [], "\(comment)")
    }
  }
}
