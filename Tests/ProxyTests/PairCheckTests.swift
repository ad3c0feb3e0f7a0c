import ControlAPI
import Testing

@testable import HoldfastProxy

/// The two legs of a session must belong to one pair.
@Suite struct PairCheckTests {
  private func pair(_ name: String, _ addresses: String...) -> PairStatus {
    PairStatus(
      name: name, role: .active, replication: .synced, epoch: 1, peer: nil, addresses: addresses, connections: 0,
      protected: 0, ledgers: 0, security: .tls, refusedConnections: 0, rejectedHeartbeats: RejectedHeartbeats(),
      heartbeatPaths: [])
  }

  private func configuration(source: String) throws -> ProxyConfiguration {
    try ProxyConfiguration.parse(
      """
      [[frontend]]
      name = "web"
      listen = ["10.77.0.100:80"]
      backend = "servers"
      [[backend]]
      name = "servers"
      servers = ["10.77.0.20:80"]
      \(source)
      """, file: "test")
  }

  private func check(_ pairs: PairStatus...) -> PairCheck { PairCheck(pairs) }

  @Test func theSameAddressAndAnotherOfThePairFit() throws {
    let check = check(pair("web", "10.77.0.100/24 dev eth0", "10.77.0.101/24 dev eth0"))
    #expect(check.conflict(in: try configuration(source: "")) == nil)
    #expect(check.conflict(in: try configuration(source: "source = [\"10.77.0.101\"]")) == nil)
    #expect(check.strangers(in: try configuration(source: "")).isEmpty)
  }

  @Test func anAddressOfAnotherPairAndOneOfNoneAreNamed() throws {
    let check = check(pair("web", "10.77.0.100/24 dev eth0"), pair("db", "10.77.0.200/24 dev eth0"))
    let other = try #require(check.conflict(in: try configuration(source: "source = [\"10.77.0.200\"]")))
    #expect(other.contains("to pair \"db\"") && other.contains("frontend \"web\"") && other.contains("pair \"web\""))
    let none = try #require(check.conflict(in: try configuration(source: "source = [\"10.77.0.1\"]")))
    #expect(none.contains("to no pair"))
  }

  @Test func aFrontendOfNoPairIsNamedAndNoConflict() throws {
    let check = check(pair("db", "10.77.0.200/24 dev eth0"))
    #expect(check.conflict(in: try configuration(source: "")) == nil)
    #expect(check.strangers(in: try configuration(source: "")).map { "\($0)" } == ["10.77.0.100"])
  }
}
