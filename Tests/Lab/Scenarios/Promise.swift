internal import TCPModel

extension ProtectedPair {
  /// What breaks the promise, as sentences: streams that differ, resets, FINs that nobody sent, timestamps that go back.
  /// - Parameters:
  ///   - report: what the client's connections came to.
  ///   - check: the capture of the same connections, from their first packet on.
  public func violations(_ report: PatternClient.Report, _ check: CaptureCheck) -> [String] {
    violations([report], check)
  }

  public func violations(_ reports: [PatternClient.Report], _ check: CaptureCheck) -> [String] {
    let outcomes = reports.flatMap(\.outcomes)
    var violations = reports.flatMap(\.failures) + check.violations
    let ends = Dictionary(
      outcomes.compactMap { outcome in outcome.client.map { ($0, outcome) } }, uniquingKeysWith: { first, _ in first })
    let fins = check.unexpectedFins { client in
      guard let end = ends[client] else { return (nil, nil) }
      return (Int(end.received), Int(end.sent))
    }
    if fins > 0 { violations.append("\(fins) unexpected FINs") }
    if check.connections.count != outcomes.count {
      violations.append("the capture has \(check.connections.count) connections, not \(outcomes.count)")
    }
    for host in HostName.allCases {
      violations += said(by: host).filter { $0.hasPrefix("mismatch") || $0.hasPrefix("refused") }
        .map { "the application on \(host): \($0)" }
    }
    return violations
  }
}
