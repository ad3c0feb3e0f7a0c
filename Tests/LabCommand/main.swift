internal import ArgumentParser
internal import Lab
internal import SystemCalls

/// The laboratory on the command line: what `make demo`, `make soak`, `make chaos` and `make bench` start.
struct HoldfastLab: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holdfast-lab",
    abstract: "Crashes hosts made of network namespaces and watches what their peers see. Needs root.",
    subcommands: [DemoCommand.self, SoakCommand.self, ChaosCommand.self, BenchCommand.self])
}

_ = try? ResourceLimits.raiseDescriptors()
HoldfastLab.main()
