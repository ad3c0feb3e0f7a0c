public import ArgumentParser
public import Simulation

/// Runs seeds, one after the other, until one violates something.
struct Simulate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holdfast-simulate",
    abstract: "Runs two hosts' pure cores against modelled kernels, peers, networks and faults.",
    discussion: "A seed that violates an invariant is printed with the end of its trace; the exit status is 1 then.")

  @Option(help: "How many seeds.") var seeds = 300
  @Option(help: "The first one.") var from: UInt64 = 0
  @Option(help: "Events in each run, before the faults end.") var steps = 4000
  @Option(help: "One policy alone: \(Scenario.Policy.allCases.map(\.rawValue).joined(separator: ", ")).")
  var policy: Scenario.Policy?

  func run() throws {
    var steps = 0
    var takeovers = 0
    var continued = 0
    var reset = 0
    var survived = 0
    var settled = 0
    var lost = 0
    let policies = policy.map { [$0] } ?? Scenario.Policy.allCases
    for policy in policies {
      for seed in from..<from + UInt64(seeds) {
        let outcome = World.run(seed, Scenario(policy: policy, steps: self.steps))
        steps += outcome.steps
        takeovers += outcome.takeovers
        continued += outcome.continued
        reset += outcome.reset
        survived += outcome.survived
        settled += outcome.settled
        lost += outcome.lostInGap
        guard outcome.violation == nil else {
          print("policy \(policy), \(outcome.description)")
          throw ExitCode.failure
        }
      }
    }
    print(
      "\(policies.count * seeds) runs, \(steps) steps: \(takeovers) takeovers, \(continued) connections continued, \(reset) reset; \(survived) crashed daemons' connections gone on with, \(settled) of them complete again, \(lost) lost before; nothing violated"
    )
  }
}

extension Scenario.Policy: ExpressibleByArgument {}

Simulate.main()
