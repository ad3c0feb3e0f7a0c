import ArgumentParser
import Simulation

/// Runs seeds, one after the other, until one violates something.
struct Simulate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holdfast-simulate",
    abstract: "Runs two hosts' pure cores against modelled kernels, peers, networks and faults.",
    discussion: "A seed that violates an invariant is printed with the end of its trace; the exit status is 1 then.")

  @Option(help: "How many seeds.") var seeds = 300
  @Option(help: "The first one.") var from: UInt64 = 0
  @Option(help: "Events in each run, before the faults end.") var steps = 4000

  func run() throws {
    var steps = 0
    var takeovers = 0
    var continued = 0
    var reset = 0
    for policy in Scenario.Policy.allCases {
      for seed in from..<from + UInt64(seeds) {
        let outcome = World.run(seed, Scenario(policy: policy, steps: self.steps))
        steps += outcome.steps
        takeovers += outcome.takeovers
        continued += outcome.continued
        reset += outcome.reset
        guard outcome.violation == nil else {
          print("policy \(policy), \(outcome.description)")
          throw ExitCode.failure
        }
      }
    }
    print(
      "\(Scenario.Policy.allCases.count * seeds) runs, \(steps) steps: \(takeovers) takeovers, \(continued) connections continued, \(reset) reset, nothing violated"
    )
  }
}

Simulate.main()
