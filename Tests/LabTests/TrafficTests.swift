import Glibc
import Lab
import TCPModel
import Testing

/// Client and server of the failover tests over plain TCP, where nothing fails: what they report must be right before it can
/// be trusted when something does.
@Suite(.serialized)
struct TrafficTests {
  /// A server on alpha, which holds the service addresses.
  private struct Plain {
    let topology: Topology
    let server: LabProcess

    init() throws {
      topology = try Topology()
      try topology.addServiceAddresses(to: .alpha)
      let server = try LabProcess.start(Products.path(of: "pattern-server"), [], in: topology.alpha)
      self.server = server
      try wait(for: "the server", until: .seconds(20)) { server.standardOutput.contains("serving") }
    }
  }

  @Test(arguments: Shape.allCases, [Addresses.service4, Addresses.service6])
  func everyShapeIsCheckedToItsEnd(shape: Shape, address: String) throws {
    let plain = try Plain()
    let capture = try plain.topology.capture()
    let goal: UInt64 = shape == .pingpong || shape == .idle ? 64 * 200 : 3_000_000
    let client = try PatternClient(
      in: plain.topology.client, to: Endpoint(address, 7000), shape: shape, connections: 3)
    client.setSpeaking(true)
    client.finish(at: goal)
    let report = try client.report(until: .seconds(60))
    #expect(report.failures == [])
    #expect(report.outcomes.count == 3)
    #expect(report.outcomes.allSatisfy { max($0.received, $0.sent) >= goal })

    plain.server.signal(SIGTERM)
    #expect(try plain.server.wait(until: .seconds(10)) == 0)
    let check = try CaptureCheck(capture.stop(), isService: { $0.port == 7000 + shape.portOffset })
    #expect(check.violations == [])
    #expect(check.connections.count == 3)
    let ends = Dictionary(
      uniqueKeysWithValues: report.outcomes.compactMap { outcome in outcome.client.map { ($0, outcome) } })
    #expect(
      check.unexpectedFins { client in
        (ends[client].map { Int($0.received) }, ends[client].map { Int($0.sent) })
      } == 0)
  }

  @Test func aCrashWithoutHoldfastIsReported() throws {
    let plain = try Plain()
    let client = try PatternClient(
      in: plain.topology.client, to: Endpoint(Addresses.service4, 7000), shape: .pingpong, connections: 5)
    try wait(for: "traffic", until: .seconds(20)) { client.progress.least > 640 }
    plain.server.kill()
    let report = try client.report(until: .seconds(20))
    #expect(report.failures.count == 5)
  }

  @Test func aStallIsMeasured() throws {
    let plain = try Plain()
    let client = try PatternClient(
      in: plain.topology.client, to: Endpoint(Addresses.service4, 7000), shape: .pingpong)
    try wait(for: "traffic", until: .seconds(20)) { client.progress.least > 640 }
    plain.server.signal(SIGSTOP)
    let begin = monotonicNow()
    let before = client.progress.received
    try wait(for: "time to pass", until: .seconds(5)) { monotonicNow() - begin > 300_000_000 }
    #expect(client.progress.received <= before + 6400)
    plain.server.signal(SIGCONT)
    client.finish(at: before + 64_000)
    let report = try client.report(until: .seconds(20))
    #expect(report.failures == [])
    #expect(report.longestStall >= 250_000_000)
  }

  @Test func aThousandConnectionsAtOnce() throws {
    let plain = try Plain()
    let client = try PatternClient(
      in: plain.topology.client, to: Endpoint(Addresses.service4, 7000), shape: .both, connections: 1000)
    client.finish(at: 20_000)
    let report = try client.report(until: .seconds(60))
    #expect(report.failures.prefix(3) == [])
    #expect(report.outcomes.count == 1000)
  }
}
