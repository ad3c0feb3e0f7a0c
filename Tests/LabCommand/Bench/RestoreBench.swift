internal import Lab

/// How long a takeover takes for each connection that has nothing in flight: from the moment that the addresses are claimed to
/// the last restored socket, by the daemon's own summary.
struct RestoreBench {
  let connections: [Int]
  let repetitions: Int
  /// Microseconds for each connection.
  private static let limit = 30.0

  func run(_ report: inout BenchReport) throws {
    var lines: [(cells: [String], target: String, isMet: Bool)] = []
    for count in connections {
      var times: [Double] = []
      for _ in 0..<repetitions { times.append(try takeover(count) * 1000 / Double(count)) }
      let middle = Measurements.middle(times)
      lines.append(
        (
          [
            "\(count) connections", Measure.rounded(middle, 10), Measure.rounded(times.min() ?? .nan, 10),
            Measure.rounded(times.max() ?? .nan, 10),
          ], "≤ \(Int(Self.limit))", middle <= Self.limit
        ))
    }
    report.add("restoring one connection, µs", columns: ["p50", "best", "worst"], lines)
  }

  /// - Returns: milliseconds for all.
  private func takeover(_ count: Int) throws -> Double {
    let pair = try ProtectedPair()
    try pair.startServers()
    let client = try pair.connect(.idle, connections: count)
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    client.stop()
    guard takeover.restoredConnections == count else {
      throw LabError("\(takeover.restoredConnections) of \(count) connections restored\(pair.explanation)")
    }
    return takeover.restored - takeover.claimed
  }
}
