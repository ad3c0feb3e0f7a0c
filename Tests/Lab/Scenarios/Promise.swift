internal import TCPModel

extension ProtectedPair {
  /// What breaks the promise, as sentences: streams that differ, resets, FINs that nobody sent, timestamps that go back.
  /// - Parameters:
  ///   - report: what the client's connections came to.
  ///   - check: the capture of the same connections, from their first packet on.
  public func violations(_ report: PatternClient.Report, _ check: CaptureCheck) -> [String] {
    violations([report], check)
  }

  /// - Parameter excused: clients to whose connections nothing was promised when their host died. They may have been reset, but may
  ///   neither hang nor get a wrong byte.
  public func violations(
    _ reports: [PatternClient.Report], _ check: CaptureCheck, excused: Set<String> = []
  ) -> [String] {
    let outcomes = reports.flatMap(\.outcomes)
    var violations = outcomes.compactMap(\.failure).filter { !Promise.isExcused($0, excused) }
    violations += check.violations.filter { !Promise.isReset($0, of: excused) }
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

/// How a connection ends to which nothing was promised.
enum Promise {
  /// Whether a client's failure says that one of these connections was reset, and nothing worse.
  static func isExcused(_ failure: String, _ clients: Set<String>) -> Bool {
    (failure.contains("reset") || failure.contains("Broken pipe")) && clients.contains { failure.contains(" \($0): ") }
  }

  /// Whether a sentence of `CaptureCheck.violations` is about the reset of one of these clients.
  static func isReset(_ violation: String, of clients: Set<String>) -> Bool {
    violation.contains(" RST from ") && clients.contains { violation.hasPrefix("\($0): ") }
  }
}
