import Simulation
import Testing

/// Two hosts' pure cores against a hostile world (docs/simulation.md). `make simulate` runs many more seeds.
@Suite struct SimulationTests {
  /// Some 15,000 steps each.
  @Test(arguments: Scenario.Policy.allCases, 0..<8)
  func nothingIsViolated(_ policy: Scenario.Policy, _ seed: UInt64) {
    let outcome = World.run(seed, Scenario(policy: policy))
    #expect(outcome.violation == nil, "\(outcome.description)")
    #expect(outcome.steps > 4000 && outcome.bytes > 10_000, "seed \(seed) did next to nothing")
  }

  /// Seeds that violated something once, before daemons' crashes and hosts that clients cannot reach were part of a run.
  @Test(
    arguments: [
      // A standby that was not synced took over from a host that was not mute.
      (.hold, 8), (.hold, 162),
      // A host came back without the epoch in which it had been active.
      (.hold, 129), (.hold, 191), (.hold, 251), (.hold, 222),
      // A host followed another one that was active in an earlier epoch.
      (.hold, 303),
      // A standby slept through the death and the return of the host that it followed.
      (.allow, 84),
      // A host that had taken over gave way to the former one: both were in the same epoch.
      (.allow, 567),
    ] as [(Scenario.Policy, UInt64)])
  func whatWasFoundStaysMended(_ policy: Scenario.Policy, _ seed: UInt64) {
    let outcome = World.run(seed, Scenario(policy: policy, steps: 12_000, crashes: false, linkFaults: false))
    #expect(outcome.violation == nil, "\(outcome.description)")
  }

  /// Seeds that violated something once, with daemons that crash.
  @Test(
    arguments: [
      // A daemon that came back after its successor on the other host had died went on alone.
      (.external, 103),
      // A host that had begun by agreement was cut off, and kept its clients.
      (.arbiter, 12_751),
      // A host took what it had heard before a standstill for consent.
      (.arbiter, 15_408),
    ] as [(Scenario.Policy, UInt64)])
  func whatWasFoundWithCrashesStaysMended(_ policy: Scenario.Policy, _ seed: UInt64) {
    let outcome = World.run(seed, Scenario(policy: policy, linkFaults: false))
    #expect(outcome.violation == nil, "\(outcome.description)")
  }

  /// The invariants notice when they should.
  @Test(arguments: Scenario.Sabotage.allCases)
  func aBrokenPartIsNoticed(_ sabotage: Scenario.Sabotage) throws {
    var noticed: Outcome?
    let crashes = sabotage == .gapNotWaitedFor || sabotage == .heirForgotten
    for seed in 0..<60 as Range<UInt64> where noticed == nil {
      let policy: Scenario.Policy =
        switch sabotage {
        case .leaseNotWatched: .arbiter
        case .heirForgotten: .external
        default: .hold
        }
      let outcome = World.run(seed, Scenario(policy: policy, sabotage: sabotage, steps: 12_000, crashes: crashes))
      if outcome.violation != nil { noticed = outcome }
    }
    let outcome = try #require(noticed, "60 seeds, and \(sabotage) was not noticed")
    #expect(outcome.trace.contains { $0.contains("VIOLATION") })
  }

  @Test func aSeedIsARun() {
    let scenario = Scenario(policy: .hold, sabotage: .gateOff)
    let first = World.run(7, scenario)
    let second = World.run(7, scenario)
    #expect(first.violation != nil)
    #expect(first.steps == second.steps && first.description == second.description)
  }

  /// The faults happen: a world in which nothing goes wrong proves nothing.
  @Test func thereIsSomethingToSurvive() {
    var sum = (
      takeovers: 0, continued: 0, fenced: 0, exposures: 0, resumed: 0, survived: 0, settled: 0, moved: 0, asked: 0,
      answered: 0
    )
    for seed in 0..<5 as Range<UInt64> {
      for policy in Scenario.Policy.allCases {
        let outcome = World.run(seed, Scenario(policy: policy, steps: 8000))
        sum.takeovers += outcome.takeovers
        sum.continued += outcome.continued
        sum.fenced += outcome.fenced
        sum.exposures += outcome.exposures
        sum.moved += outcome.moved
        sum.asked += outcome.asked
        sum.answered += outcome.answered
        sum.resumed += outcome.resumed
        sum.survived += outcome.survived
        sum.settled += outcome.settled
      }
    }
    #expect(
      sum.takeovers >= 5 && sum.moved >= 3 && sum.continued >= 10 && sum.fenced >= 1 && sum.exposures >= 1
        && sum.resumed > sum.survived && sum.survived >= 1 && sum.settled >= 1 && sum.asked >= 1 && sum.answered >= 1,
      "\(sum)")
  }
}
