internal import Lab

/// How long a client waits for its connection when the host at the other end dies, and when the connection moves as planned.
struct StallBench {
  let crashes: Int
  /// What the daemon may add to the time in which the death is noticed, ms.
  private static let allowance = 100.0

  private static let shapes = [Shape.download, .upload, .pingpong]

  func run(_ report: inout BenchReport) throws {
    try crash(&report)
    try move(&report)
  }

  /// - Returns: the longest time without a byte, and that in which the death was noticed, ms.
  private func stall(_ shape: Shape, _ change: (inout Failover) -> Void = { _ in }) throws -> (
    longest: Double, detected: Double
  ) {
    var scenario = Failover(shape: shape)
    scenario.crashAfter = .random(in: 1...scenario.crashAfter)
    change(&scenario)
    let outcome = try scenario.run()
    guard outcome.violations.isEmpty else {
      throw LabError("\(shape): \(outcome.violations.joined(separator: "; "))\(outcome.log)")
    }
    return (Double(outcome.report.longestStall) / 1e6, outcome.takeover.detected)
  }

  private func move(_ report: inout BenchReport) throws {
    var lines: [[String]] = []
    for shape in Self.shapes {
      var stalls: [Double] = []
      for _ in 0..<crashes {
        stalls.append(
          try stall(shape) {
            $0.departure = { pair in
              let now = Topology.Crash.now
              try pair.alpha.switchOver()
              return now
            }
          }.longest)
      }
      lines.append(
        [
          "\(shape)", Measure.rounded(Measurements.middle(stalls), 1), Measure.rounded(stalls.max() ?? .nan, 1),
        ])
    }
    report.add("stall of a switchover, ms", columns: ["p50", "worst"], lines)
  }

  private func crash(_ report: inout BenchReport) throws {
    var lines: [(cells: [String], target: String, isMet: Bool)] = []
    for shape in Self.shapes {
      var stalls: [Double] = []
      var excess: [Double] = []
      for _ in 0..<crashes {
        let (longest, detected) = try stall(shape)
        stalls.append(longest)
        excess.append(longest - detected)
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
