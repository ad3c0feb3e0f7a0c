internal import Glibc

/// The proxy's hosts crash one after the other, at random instants, under clients of every shape whose every byte is checked at
/// both ends. All sessions live from the first crash to the last.
public struct ProxySoak {
  public var crashes: Int
  /// Of each shape.
  public var connections: Int
  public var daemon = ProxiedPair.Options().daemon

  public init(crashes: Int, connections: Int) {
    self.crashes = crashes
    self.connections = connections
  }

  public struct Outcome: Sendable {
    /// What broke the promise; empty when nothing did.
    public var violations: [String] = []
    public var crashes = 0
    /// The longest stall of any connection after each crash, ns.
    public var stalls: [UInt64] = []
    public var bytes: UInt64 = 0
  }

  private static let ports: [UInt16] = Array(7000...7004)

  /// - Parameter said: called after each crash with how many there were.
  public func run(_ said: (Int) -> Void = { _ in }) throws -> Outcome {
    var options = ProxiedPair.Options()
    options.backend = "check = \"none\"\nproxy_protocol = \"v2\""
    options.daemon = daemon
    options.prepare = { try $0.limit("100mbit") }
    let lab = try ProxiedPair(ports: Self.ports, options)
    let server = try lab.serve(
      Products.path(of: "pattern-server"), ["--port", "\(Self.ports[0])", "--proxy-header"], port: Self.ports[0])
    let clients = try Shape.allCases.enumerated().map { index, shape in
      // Every other shape over IPv6, to a server over IPv4.
      let address = index % 2 == 0 ? Addresses.service4 : Addresses.service6
      return try PatternClient(
        in: lab.pair.topology.client, to: lab.pair.service(address), shape: shape, connections: connections)
    }
    try lab.waitForSessions(clients.count * connections)
    var outcome = Outcome()
    for crash in 1...crashes {
      try waitForProgress(clients, lab)
      let instant = monotonicNow() + .random(in: 0...30_000_000)
      try wait(for: "the instant of the crash", until: .seconds(5), every: 0) { monotonicNow() >= instant }
      let before = monotonicNow()
      try lab.crash()
      try waitForProgress(clients, lab)
      outcome.stalls.append(monotonicNow() - before)
      outcome.crashes = crash
      said(crash)
      if crash < crashes { try lab.revive() }
    }
    for client in clients {
      client.setSpeaking(true)
      client.finish(at: client.progress.least + (client.shape == .pingpong || client.shape == .idle ? 640 : 100_000))
    }
    for client in clients {
      let report = try client.report(until: .seconds(120))
      outcome.bytes += report.received + report.sent
      outcome.violations += report.failures.map { "\(client.shape): \($0)" }
    }
    outcome.violations += server.standardOutput.split(separator: "\n")
      .filter { $0.hasPrefix("mismatch") || $0.hasPrefix("broken") }.map { "the server: \($0)" }
    if !outcome.violations.isEmpty { outcome.violations.append(lab.explanation) }
    return outcome
  }

  private func waitForProgress(_ clients: [PatternClient], _ lab: ProxiedPair) throws {
    let before = clients.map(\.progress.least)
    try wait(for: "all streams to go on\(lab.explanation)", until: .seconds(60)) {
      for (client, least) in zip(clients, before) {
        let progress = client.progress
        if let failure = progress.firstFailure { throw LabError("\(client.shape): \(failure)\(lab.explanation)") }
        if client.shape != .idle, progress.least < least + 640 { return false }
      }
      return true
    }
  }
}
