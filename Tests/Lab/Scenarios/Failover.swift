internal import Glibc
internal import TCPModel

/// One crash under one shape: connections of an unmodified client, alpha cut off in the middle of it, and a look at
/// everything that may not have happened.
public struct Failover {
  public var shape: Shape
  public var connections: Int
  public var address = Addresses.service4
  /// Bytes of each connection before the crash.
  public var crashAfter: UInt64
  /// Bytes of each connection after it.
  public var goal: UInt64
  public var client = PatternClient.Options()
  public var daemon = DaemonHost.Options()
  /// Options of the application on both hosts, and on beta alone.
  public var server: [String] = []
  public var serverOnBeta: [String] = []
  /// What the LAN carries in either direction, as tc(8) writes rates: so that the traffic, which takes all it can get, leaves
  /// the two hosts time to breathe on a small machine. `nil` for no limit.
  public var lanRate: String? = "400mbit"
  /// Bytes of each frame that the capture keeps, 0 for all: then retransmissions are compared byte by byte.
  public var captureBytes: Int
  /// So much traffic that the kernel's soft interrupts fall behind: a packet that waits in the backlog of one processor is overtaken by
  /// the next one of its connection, which left over the other. Only such packets' timestamps are excused (`CaptureCheck`).
  public var isMoreThanProcessorsCarry = false
  /// How long the streams may take to their end, seconds.
  public var patience = 60.0
  /// Changes the hosts before anything is started.
  public var prepare: (Topology) throws -> Void = { _ in }
  /// Done when the connections are protected and under way, just before the crash.
  public var beforeCrash: (ProtectedPair, PatternClient) throws -> Void = { _, _ in }
  /// What takes alpha's place from it: cut off, unless the scenario says otherwise.
  public var departure: (ProtectedPair) throws -> Topology.Crash = { try $0.topology.crash(.alpha) }
  /// Done when the host has died and nobody has taken its place yet.
  public var duringOutage: (ProtectedPair, PatternClient) throws -> Void = { _, _ in }
  /// Done after the takeover, before the connections are led to their end.
  public var afterTakeover: (ProtectedPair, PatternClient) throws -> Void = { _, _ in }

  public init(shape: Shape, connections: Int = 1) {
    self.shape = shape
    self.connections = connections
    let bulk = shape == .download || shape == .upload || shape == .both
    crashAfter = bulk ? max(20_000, 3_000_000 / UInt64(connections)) : 64 * 50
    goal = bulk ? max(40_000, 6_000_000 / UInt64(connections)) : 64 * 100
    captureBytes = bulk ? 192 : 0
  }

  public struct Outcome {
    public let report: PatternClient.Report
    public let check: CaptureCheck
    public let takeover: TakeoverSummary
    public let crash: Topology.Crash
    /// What broke the promise; empty when nothing did.
    public let violations: [String]
    /// The log of beta's daemon and what the application there said.
    public let log: String
  }

  public func run() throws -> Outcome {
    let pair = try ProtectedPair(options: daemon) { topology in
      if let lanRate { try topology.limit(lanRate) }
      try prepare(topology)
    }
    try pair.startServers(server, onBeta: serverOnBeta)
    let capture = try pair.topology.capture(bytes: captureBytes, filter: "tcp portrange 7000-7004")
    let client = try pair.connect(shape, address: address, connections: connections, options: client)
    if shape != .idle {
      try wait(for: "\(crashAfter) bytes on each connection\(pair.explanation)", until: .seconds(60)) {
        client.progress.least >= crashAfter || client.progress.failed > 0
      }
    }
    if let failure = client.progress.firstFailure { throw LabError("before the crash: \(failure)") }
    try beforeCrash(pair, client)
    client.forgetStalls()
    let crash = try departure(pair)
    try duringOutage(pair, client)
    let takeover = try pair.waitForTakeover()
    client.setSpeaking(true)
    try afterTakeover(pair, client)
    client.finish(at: client.progress.least + goal)
    let report = try client.report(until: .seconds(patience))
    let check = try CaptureCheck(
      capture.stop(), isService: { (7000...7004).contains($0.port) },
      mayBeOvertaken: { [isMoreThanProcessorsCarry] _ in isMoreThanProcessorsCarry })
    return Outcome(
      report: report, check: check, takeover: takeover, crash: crash,
      violations: violations(pair, report, check, takeover), log: pair.explanation)
  }

  private func violations(
    _ pair: ProtectedPair, _ report: PatternClient.Report, _ check: CaptureCheck, _ takeover: TakeoverSummary
  ) -> [String] {
    var violations = pair.violations(report, check)
    if takeover.restoredConnections != connections || takeover.lostConnections != 0 {
      violations.append(
        "\(takeover.restoredConnections) connections restored, \(takeover.lostConnections) lost of \(connections)")
    }
    return violations
  }
}
