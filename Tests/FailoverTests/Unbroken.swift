import Lab
import Testing

/// Runs a failover and fails the test with everything that is known when the promise was broken: streams equal byte for byte, no
/// reset, no FIN that nobody sent, no timestamp that goes back, every connection restored.
@discardableResult
func expectUnbroken(
  _ failover: Failover, _ comment: String = "", sourceLocation: SourceLocation = #_sourceLocation
) throws -> Failover.Outcome {
  let outcome = try failover.run()
  if !outcome.violations.isEmpty {
    Issue.record(
      "\(comment): \(outcome.violations.joined(separator: "\n"))\(outcome.log)", sourceLocation: sourceLocation)
  }
  return outcome
}

extension Failover {
  /// For a network on which not much can be sent: less is sent, and less lies in the hosts' buffers, which must all have left
  /// before a stream can end.
  mutating func slowDown() {
    lanRate = "50mbit"
    if shape != .pingpong && shape != .idle {
      crashAfter /= 10
      goal /= 10
    }
    let before = prepare
    prepare = { topology in
      try before(topology)
      for namespace in [topology.client, topology.alpha, topology.beta] {
        try namespace.setSysctl("net.ipv4.tcp_wmem", "4096 16384 131072")
      }
    }
  }

  /// Has the crash come at an instant that the dice choose.
  mutating func crashAtRandom(_ dice: inout Dice) {
    crashAfter = dice.pick(1...crashAfter)
    let pause = dice.pick(0...20_000_000)
    let before = beforeCrash
    beforeCrash = { pair, client in
      try before(pair, client)
      let instant = monotonicNow() + pause
      try wait(for: "the instant of the crash", until: .seconds(5), every: 0) { monotonicNow() >= instant }
    }
  }
}

/// Expects that nothing was found, and shows what was: `#expect` shows no values of an expression that can throw.
func expectNone<Found: Collection>(_ found: Found, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(found.isEmpty, "\(found.map { "\($0)" }.joined(separator: "\n"))", sourceLocation: sourceLocation)
}
