internal import Lab

/// How long a client waits for its connection when the host at the other end dies.
struct StallBench {
  let crashes: Int
  /// What the daemon may add to the time in which the death is noticed, ms.
  private static let allowance = 100.0

  func run(_ report: inout BenchReport) throws {
    var lines: [(cells: [String], target: String, isMet: Bool)] = []
    for shape in [Shape.download, .upload, .pingpong] {
      var stalls: [Double] = []
      var excess: [Double] = []
      for _ in 0..<crashes {
        var scenario = Failover(shape: shape)
        scenario.crashAfter = .random(in: 1...scenario.crashAfter)
        let outcome = try scenario.run()
        guard outcome.violations.isEmpty else {
          throw LabError("\(shape): \(outcome.violations.joined(separator: "; "))\(outcome.log)")
        }
        let stall = Double(outcome.report.longestStall) / 1e6
        stalls.append(stall)
        excess.append(stall - outcome.takeover.detected)
      }
      let worst = excess.max() ?? .nan
      lines.append(
        (
          [
            "\(shape)", Measure.rounded(Measurements.middle(stalls), 1), Measure.rounded(stalls.max() ?? .nan, 1),
            Measure.rounded(Measurements.middle(excess), 1), Measure.rounded(worst, 1),
          ], "≤ \(Int(Self.allowance))", worst <= Self.allowance
        ))
    }
    report.add(
      "stall after a crash, ms", columns: ["p50", "worst", "beyond detection, p50", "beyond detection, worst"], lines)
  }
}
