internal import ArgumentParser
internal import Glibc
internal import Lab

/// `holdfast-lab chaos`.
struct ChaosCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chaos",
    abstract: "Puts hosts under traffic of every shape through a random sequence of faults, for as long as asked.",
    discussion: """
      Every stream is compared byte for byte, and every packet of the service is looked at. The exit status is 1 when a promise \
      was broken; then the logs and the capture are kept.
      """)

  @Option(help: "How long, minutes.") var minutes = 5
  @Option(help: "How long, seconds, instead.") var seconds: Int?
  @Option(help: "Decides which faults come; a new one each time without it.") var seed: UInt64?
  @Option(help: "A folder for evidence.") var output = ".build/chaos"
  @Option(help: "One fault alone, by a part of its name.") var fault: String?
  @Option(help: "One policy alone: allow or hold.") var policy: String?

  private var onlyFault: Fault? { fault.flatMap { name in Fault.allCases.first { $0.rawValue.contains(name) } } }

  func validate() throws {
    guard seconds ?? minutes > 0 else { throw ValidationError("the time must be positive") }
    if let fault, onlyFault == nil {
      throw ValidationError("no fault is called \(fault): \(Fault.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    if let policy, policy != "allow", policy != "hold" { throw ValidationError("\(policy) is no policy") }
  }

  func run() throws {
    let dice = seed.map { Dice(seed: $0) } ?? Dice()
    var chaos = Chaos(seconds: Double(seconds ?? minutes * 60), seed: dice.seed, folder: output)
    chaos.only = onlyFault
    chaos.policy = policy
    // Whoever watches a file wants to see each line as it comes.
    chaos.say = {
      print($0)
      fflush(nil)
    }
    print("seed \(dice.seed)")
    let report = chaos.run()
    print(report.description)
    guard report.violations.isEmpty else {
      for violation in report.violations { print(violation) }
      print("seed \(dice.seed)")
      throw ExitCode.failure
    }
  }
}
