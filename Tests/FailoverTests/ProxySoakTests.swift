import Lab
import Testing

/// Every shape of traffic through the proxy, at full speed while hosts die and come back.
@Suite(.serialized)
struct ProxySoakTests {
  @Test func allSessionsSurviveHostAfterHost() throws {
    let outcome = try ProxySoak(crashes: 4, connections: 3).run()
    #expect(outcome.violations.isEmpty, "\(outcome.violations)")
    #expect(outcome.crashes == 4)
  }
}
