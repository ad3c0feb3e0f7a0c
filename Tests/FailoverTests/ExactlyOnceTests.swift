import Lab
import Testing

/// An application with a running hash of its input, crashed at random instants, shows its peers what it would have shown
/// without.
@Suite(.serialized)
struct ExactlyOnceTests {
  @Test func aHundredCrashedConnectionsShowTheirPeersTheSameStream() throws {
    let outcome = try ExactlyOnce(connections: 100).run()
    #expect(outcome.violations.isEmpty, "\(outcome.violations.joined(separator: "\n"))")
    #expect(outcome.checkpoints > 100)
    #expect(outcome.progress > 0)
  }
}
