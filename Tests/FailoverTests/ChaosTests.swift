import Lab
import Testing

/// A short `make chaos`: the faults of half a minute, whichever the dice choose.
@Suite(.serialized)
struct ChaosTests {
  @Test(arguments: ["hold", "allow"])
  func nothingIsBrokenByWhateverHappens(policy: String) throws {
    let dice = Dice()
    var chaos = Chaos(seconds: 30, seed: dice.seed, folder: try Scratch.subfolder("chaos"))
    chaos.policy = policy
    let report = chaos.run()
    #expect(report.violations.isEmpty, "seed \(dice.seed): \(report.violations)")
    #expect(report.faults > 0)
  }
}
