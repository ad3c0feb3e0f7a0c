import Glibc
import Lab
import LinuxNetwork
import SystemCalls
import TCPModel
import Testing

/// A connection that cannot go on ends at once for its peer: a clean end beats a silent one.
@Suite(.serialized)
struct ResetTests {
  /// Starts one client of each of some shapes; none of them is told anything by a test that would make it notice on its own.
  private func clients(_ pair: ProtectedPair, _ shapes: [Shape]) throws -> [PatternClient] {
    try shapes.map { shape in
      let client = try pair.connect(shape, connections: 3)
      if shape != .idle { try pair.waitForProgress(client) }
      return client
    }
  }

  private func expectResets(_ clients: [PatternClient], _ pair: ProtectedPair) throws {
    for client in clients {
      try wait(for: "\(client.shape) to be reset\(pair.explanation)", until: .seconds(20)) {
        client.progress.failed == client.connections
      }
      let report = try client.report(until: .seconds(10))
      #expect(
        report.failures.count(where: { $0.contains("reset") }) == client.connections, "\(report.failures)")
    }
  }

  /// The active host went on alone: its peers are further than the standby knows. A peer that only waits sends nothing that could be
  /// answered, and a reset with an old number is none to it.
  @Test func peersThatAreFurtherThanTheLedgersAreReset() throws {
    let pair = try ProtectedPair { try $0.limit("100mbit") }
    try pair.startServers()
    let clients = try clients(pair, [.download, .upload, .pingpong, .idle])
    try pair.topology.cutReplication()
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    for client in clients where client.shape != .idle { try pair.waitForProgress(client, bytes: 64 * 50) }
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 0 && takeover.lostConnections == 12, "\(pair.explanation)")
    try expectResets(clients, pair)
    // Whoever calls again is served.
    let again = try PatternClient(in: pair.topology.client, to: pair.service(), shape: .pingpong)
    try pair.waitForProgress(again)
    again.finish()
    try expectNone(again.report(until: .seconds(20)).failures)
  }

  /// The peers only wait, and every reset that the takeover leads to is lost on the way to them.
  @Test func aResetThatIsLostComesAgain() throws {
    let pair = try ProtectedPair { try $0.limit("100mbit") }
    try pair.startServers()
    let clients = try clients(pair, [.download, .idle])
    try pair.topology.cutReplication()
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    try pair.waitForProgress(clients[0], bytes: 64 * 50)
    let rule = ["INPUT", "-p", "tcp", "--tcp-flags", "RST", "RST", "-j", "DROP"]
    try Tool.run("iptables", ["-w", "-I"] + rule, in: pair.topology.client)
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.lostConnections == 6, "\(pair.explanation)")
    // One with the ledger's number, and one for the answer to the question.
    try wait(for: "the resets\(pair.explanation)", until: .seconds(20)) {
      let counted = try Tool.run("iptables", ["-w", "-L", "INPUT", "-v", "-n", "-x"], in: pair.topology.client)
      let dropped = counted.split(separator: "\n").first { $0.contains("DROP") }?.split(separator: " ").first
      return dropped.flatMap { Int($0) } ?? 0 >= 12
    }
    #expect(clients.allSatisfy { $0.progress.failed == 0 })
    try Tool.run("iptables", ["-w", "-D"] + rule, in: pair.topology.client)
    try expectResets(clients, pair)
  }

  /// The kernel refuses what a restored socket needs: here the daemon may open a few descriptors more, and then none. Those that it
  /// could restore go on.
  @Test func whatCannotBeRestoredIsReset() throws {
    var options = DaemonHost.Options()
    options.deadAfter = "500ms"
    let pair = try ProtectedPair(options: options) { try $0.limit("100mbit") }
    try pair.startServers()
    let clients = try clients(pair, [.download, .upload, .pingpong, .idle])
    let process = try #require(pair.beta.process)
    try process.limitOpenFiles(toAnother: 5 + ResourceLimits.reserve)
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections > 0 && takeover.lostConnections > 0, "\(pair.explanation)")
    #expect(takeover.restoredConnections + takeover.lostConnections == 12, "\(pair.explanation)")
    #expect(pair.beta.log.contains("LimitNOFILE"), "\(pair.explanation)")
    try wait(for: "those that were restored to be adopted\(pair.explanation)", until: .seconds(20)) {
      pair.said(by: .beta).count { $0.hasPrefix("adopted") } == takeover.restoredConnections
    }
    try wait(for: "the lost ones to be reset\(pair.explanation)", until: .seconds(20)) {
      clients.reduce(0) { $0 + $1.progress.failed } >= takeover.lostConnections
    }
    // Whoever calls again is served.
    let again = try PatternClient(in: pair.topology.client, to: pair.service(), shape: .pingpong)
    try pair.waitForProgress(again)
    again.finish()
    try expectNone(again.report(until: .seconds(20)).failures)
    for client in clients { client.finish(at: client.progress.least) }
    let failures = try clients.flatMap { try $0.report(until: .seconds(60)).failures }
    #expect(failures.count == takeover.lostConnections && failures.allSatisfy { $0.contains("reset") }, "\(failures)")
  }

  @Test func whatNobodyAdoptsInTimeIsReset() throws {
    var options = DaemonHost.Options()
    options.deadAfter = "500ms"
    let pair = try ProtectedPair(options: options) { try $0.limit("100mbit") }
    // No application on beta.
    try pair.startServer(on: .alpha)
    let clients = try clients(pair, [.download, .pingpong, .idle])
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 9, "\(pair.explanation)")
    try expectResets(clients, pair)
  }
}
