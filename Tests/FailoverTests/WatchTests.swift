import Glibc
import Lab
import Testing

/// The daemon's table is watched: what others take out of it is put back, and connections say that they were not protected. Here the
/// table has no owner, so that others can.
@Suite(.serialized)
struct WatchTests {
  private static var options: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.node = "owned_table = false"
    options.deadAfter = "1s"
    options.exposeAfter = "60s"
    return options
  }

  private static let shapes: [Shape] = [.download, .upload, .pingpong, .idle, .idle]

  private func streams(_ options: DaemonHost.Options = options) throws -> ProtectedStreams {
    try ProtectedStreams(ProtectedPair(options: options) { try $0.limit("100mbit") }, shapes: Self.shapes)
  }

  /// Entries of the journal about the table.
  private func reports(_ host: DaemonHost) -> [Substring] {
    host.log.split(separator: "\n").filter { !$0.hasPrefix("info") && $0.contains("packet table") }
  }

  private func content(_ host: HostName, of pair: ProtectedPair) throws -> [String] {
    try #require(try ListedTable(of: pair.topology[host]), "\(host) has no table\(pair.explanation)").content
  }

  @Test(arguments: ListedTable.Damage.allCases, HostName.allCases)
  func whatIsTakenOutComesBack(damage: ListedTable.Damage, host: HostName) throws {
    let streams = try streams()
    let pair = streams.pair
    let content = try content(host, of: pair)
    let reported = reports(pair[host]).count
    var start: UInt64 = 0
    try streams.strike { start = try $0.damage(damage, on: host) }
    let end = try pair.topology.waitForTable(content, on: host)
    // It takes 200 ms at most; the rest is the time that nft(8) takes on a busy machine.
    #expect(end - start < 1_000_000_000)
    print("\(damage.rawValue) on \(host): back after \((end - start) / 1_000_000) ms")
    try streams.waitUntilProtected(on: .alpha)
    try pair.waitUntilSynced(active: .alpha)
    try streams.goOn()
    let reports = reports(pair[host])
    #expect(reports.count == reported + 1, "\(reports)")
    #expect(try streams.leave(.alpha) == streams.clients.count)
    try expectNone(streams.end())
  }

  /// A standby that says nothing keeps them from becoming protected again.
  @Test func meanwhileTheConnectionsAreUnprotectedAndSayWhy() throws {
    let streams = try streams()
    let pair = streams.pair
    let content = try content(.alpha, of: pair)
    #expect(try pair.alpha.connections().allSatisfy { $0.protected && $0.obstacle == nil })
    pair.beta.process?.signal(SIGSTOP)
    try streams.strike { try $0.damage(.tableDeleted, on: .alpha) }
    try pair.topology.waitForTable(content, on: .alpha)
    for connection in try pair.alpha.connections() {
      #expect(!connection.protected && connection.obstacle?.isEmpty == false, "\(connection)")
    }
    let shown = try Tool.run(
      Products.path(of: "holdfastctl"), ["connections", "--socket", pair.alpha.controlPath], in: pair.alpha.namespace)
    for connection in try pair.alpha.connections() {
      #expect(shown.contains("\(connection.id): \(try #require(connection.obstacle))"), "\(shown)")
    }
    pair.beta.process?.signal(SIGCONT)
    try streams.waitUntilProtected(on: .alpha)
    #expect(try pair.alpha.connections().allSatisfy { $0.obstacle == nil })
    try streams.goOn()
    #expect(try streams.leave(.alpha) == streams.clients.count)
    try expectNone(streams.end())
  }

  /// What has left past the table is not in the ledger until the standby has it: then the gate holds again.
  @Test func theGateHoldsAgainWhenTheTableIsBack() throws {
    let streams = try streams()
    let pair = streams.pair
    let content = try content(.alpha, of: pair)
    pair.beta.process?.signal(SIGSTOP)
    try streams.strike { try $0.damage(.rulesetFlushed, on: .alpha) }
    try pair.topology.waitForTable(content, on: .alpha)
    try FailureDetectionTests.passes(500_000_000)
    let capture = try pair.topology.capture(bytes: 128, filter: "tcp src portrange 7000-7004")
    try FailureDetectionTests.passes(1_500_000_000)
    try expectNone(capture.packetsSeen())
    pair.beta.process?.signal(SIGCONT)
    try streams.waitUntilProtected(on: .alpha)
    #expect(try streams.leave(.alpha) == streams.clients.count)
    try expectNone(streams.end())
  }

  /// Clock ticks, user and system, that a process has taken.
  private func ticks(_ host: DaemonHost) throws -> Int {
    let fields = try Files.read("/proc/\(#require(host.process).pid)/stat")
    // Behind the name in parentheses, which may have blanks.
    let rest = try #require(fields.split(separator: ")").last).split(separator: " ")
    return try #require(Int(rest[11])) + #require(Int(rest[12]))
  }

  @Test func aTableThatIsFlushedEverySecondCostsLittle() throws {
    let pair = try ProtectedPair(options: Self.options)
    try pair.startServers()
    let client = try pair.connect(.idle, connections: 20)
    let seconds = 10
    func measure(_ body: () throws -> Void) throws -> Int {
      let before = try ticks(pair.alpha)
      for _ in 0..<seconds {
        try body()
        try FailureDetectionTests.passes(1_000_000_000)
      }
      return try ticks(pair.alpha) - before
    }
    let quiet = try measure {}
    let reported = reports(pair.alpha).count
    let flushed = try measure { try pair.topology.flushRuleset(of: .alpha) }
    print("ticks in \(seconds) s: \(quiet) without flushes, \(flushed) with one a second")
    // Less than a per cent of a processor in an optimised build; a tick is 10 ms.
    #expect(flushed - quiet < 2 * seconds)
    #expect((1...3).contains(reports(pair.alpha).count - reported), "\(reports(pair.alpha))")
    try wait(for: "protected connections\(pair.explanation)", until: .seconds(20), every: 20) {
      try pair.alpha.connections().count(where: \.protected) == 20
    }
    try pair.topology.crash(.alpha)
    #expect(try pair.waitForTakeover().restoredConnections == 20)
    client.setSpeaking(true)
    try pair.waitForProgress(client)
    client.finish(at: client.progress.least)
    try expectNone(client.report(until: .seconds(60)).failures)
  }

  /// Another program has made a table of that name its own, so that the daemon can do nothing about it.
  @Test func aStandbyWithoutItsTableDoesNotCountAsSynced() throws {
    let streams = try streams()
    let pair = streams.pair
    let content = try content(.beta, of: pair)
    let commands = "delete table \(ListedTable.name); add table \(ListedTable.name) { flags owner; }"
    let thief = try LabProcess.start(
      "sh", ["-c", "{ echo '\(commands)'; exec sleep 1000; } | exec nft -i"], in: pair.beta.namespace)
    try wait(for: "alpha to hear of it\(pair.explanation)", until: .seconds(20)) {
      guard thief.isRunning else { throw LabError("nft: \(thief.standardError)") }
      return try pair.alpha.status().pairs.first?.replication != "synced"
    }
    #expect(try pair.alpha.connections().allSatisfy { !$0.protected })
    try wait(for: "refusal of a switchover", until: .seconds(20)) { (try? pair.alpha.switchOver()) == nil }
    #expect(try pair.alpha.status().pairs.first?.role == "active")
    // With its owner the table goes.
    for process in pair.beta.namespace.processes {
      let name = (try? Files.read("/proc/\(process)/comm")) ?? ""
      if name == "nft\n" || name == "sleep\n" { kill(process, SIGKILL) }
    }
    try pair.topology.waitForTable(content, on: .beta)
    try pair.waitUntilSynced(active: .alpha)
    try streams.waitUntilProtected(on: .alpha)
    #expect(try streams.leave(.alpha) == streams.clients.count)
    try expectNone(streams.end())
  }
}
