import Glibc
import Lab
import Testing

/// `holdfastctl fence`: what the service manager calls when the daemon has failed.
@Suite(.serialized)
struct FenceTests {
  private func fence(_ host: DaemonHost) throws -> LabProcess {
    let command = try LabProcess.start(
      Products.path(of: "holdfastctl"), ["fence", "--config", host.configurationPath], in: host.namespace)
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
    #expect(try CaptureCheck(capture.stop(), isService: { _ in true }).packets == 0)
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
    let command = try LabProcess.start(Products.path(of: "holdfastctl"), ["fence", "--config", "/nonexistent.toml"])
    #expect(try command.wait(until: .seconds(20)) == 1)
    #expect(command.standardError.contains("/nonexistent.toml"), "\(command.standardError)")
  }
}
