import Glibc
import Lab
import TCPModel
import Testing

/// The one rule: no packet of a protected connection leaves before the standby holds what it tells the peer.
@Suite(.serialized)
struct OutputCommitTests {
  /// Protected connections of every shape that talks, and beside them others on the same host that are not registered.
  struct Traffic {
    let pair: ProtectedPair
    let protected: [PatternClient]
    let strangers: [PatternClient]
    let strangersServer: LabProcess
    let whole: PacketCapture

    /// - Parameters:
    ///   - prepare: changes the hosts before anything is started in them.
    ///   - server: options of the application, and of the one whose connections are not registered.
    init(
      _ options: DaemonHost.Options, server: [String] = [], prepare: (Topology) throws -> Void = { _ in }
    ) throws {
      pair = try ProtectedPair(options: options) { topology in
        try topology.limit("400mbit")
        try prepare(topology)
      }
      try pair.startServers(server)
      let server = try LabProcess.start(
        Products.path(of: "pattern-server"), ["--port", "7100"] + server, in: pair.alpha.namespace)
      try wait(for: "the other server", until: .seconds(20)) { server.standardOutput.contains("serving") }
      strangersServer = server
      whole = try pair.topology.capture(bytes: 192, filter: "tcp portrange 7000-7004")
      let pair = pair
      protected = try [Shape.download, .upload, .pingpong].map { try pair.connect($0, connections: 2) }
      // On the service's address, and on one that is none of the daemon's business.
      strangers = try [Addresses.service4, Addresses.alpha].flatMap { address in
        try [Shape.download, .pingpong].map {
          try PatternClient(in: pair.topology.client, to: Endpoint(address, 7100), shape: $0)
        }
      }
      for client in protected + strangers { try pair.waitForProgress(client, bytes: 6400) }
    }

    /// Waits until the others have come some way, so that whatever the protected ones were about to say would be said by now.
    func letOthersGoOn() throws {
      for client in strangers {
        try pair.waitForProgress(client, bytes: client.shape == .download ? 5_000_000 : 64 * 10)
      }
    }

    /// Packets that the service sent on protected connections, and packets that came for them, while the others went on.
    func count(_ body: () throws -> Void = {}) throws -> (sent: Int, received: Int) {
      let sent = try pair.topology.capture(bytes: 128, filter: "tcp src portrange 7000-7004")
      let received = try pair.topology.capture(bytes: 128, filter: "tcp dst portrange 7000-7004")
      try letOthersGoOn()
      try body()
      try letOthersGoOn()
      // The peers ask at ever longer intervals (RFC 6298, 5.5).
      try wait(for: "a packet of a peer", until: .seconds(30)) { Files.size(received.path) > PacketCapture.emptySize }
      return (
        try CaptureCheck(sent.stop(), isService: { _ in true }).packets,
        try CaptureCheck(received.stop(), isService: { _ in true }).packets
      )
    }

    /// Leads all protected streams to their end and returns what went wrong with them.
    /// - Parameter reordered: when (ns since 1970) packets that waited may have been queued again, behind others.
    func end(reordered: ClosedRange<UInt64>? = nil) throws -> [String] {
      for client in protected { try pair.waitForProgress(client) }
      for client in protected { client.finish(at: client.progress.least) }
      let reports = try protected.map { try $0.report(until: .seconds(60)) }
      let check = try CaptureCheck(
        whole.stop(), isService: { (7000...7004).contains($0.port) },
        mayBeOvertaken: { reordered?.contains($0) ?? false })
      let violations = pair.violations(reports, check)
      return violations.isEmpty ? [] : violations + [pair.explanation]
    }
  }

  enum Pause: String, CaseIterable, CustomTestStringConvertible {
    /// The standby's process stands still: it neither acknowledges nor sends heartbeats.
    case standbyStopped
    /// The standby receives everything and lives, but what it sends on the channel does not arrive.
    case acknowledgementsLost
    var testDescription: String { rawValue }
  }

  @Test(arguments: Pause.allCases)
  func nothingLeavesThatTheStandbyHasNotConfirmed(_ pause: Pause) throws {
    var options = DaemonHost.Options()
    options.soloPolicy = "hold"
    let traffic = try Traffic(options)
    let pair = traffic.pair
    switch pause {
    case .standbyStopped: pair.beta.process?.signal(SIGSTOP)
    case .acknowledgementsLost: try pair.topology.drop(on: .alpha, "-i", "rep0", "-p", "tcp")
    }
    // What had been confirmed may still be on its way.
    try traffic.letOthersGoOn()
    let counts = try traffic.count()
    #expect(counts.sent == 0)
    #expect(counts.received > 0)
    switch pause {
    case .standbyStopped: pair.beta.process?.signal(SIGCONT)
    case .acknowledgementsLost: try pair.topology.accept(on: .alpha, "-i", "rep0", "-p", "tcp")
    }
    try expectNone(traffic.end())
    #expect(pair.beta.takeover == nil)
  }

  /// A packet that its socket counts as sent is lost in the host before the daemon sees it. What comes behind it may not leave: a
  /// record of it would lack what is before. TCP sends it again, all is recorded in order, and the standby can go on.
  @Test func whatLeavesAGapInTheLedgerStays() throws {
    var options = DaemonHost.Options()
    options.deadAfter = "1s"
    let streams = try FailureDetectionTests.Streams(options, shapes: [.download, .pingpong])
    let pair = streams.pair
    // Nobody reads that queue, so the kernel drops what goes there; one that was to be queued counts as sent (nf_queue()).
    let rule = [
      "OUTPUT", "-p", "tcp", "--sport", "7000:7004", "-m", "length", "--length", "200:", "-m", "statistic", "--mode",
      "nth",
      "--every", "25", "--packet", "0", "-j", "NFQUEUE", "--queue-num", "65000",
    ]
    try Tool.run("iptables", ["-w", "-t", "mangle", "-I"] + rule, in: pair.alpha.namespace)
    for _ in 0..<3 { try streams.goOn() }
    let counted = try Tool.run(
      "iptables", ["-w", "-t", "mangle", "-L", "OUTPUT", "-v", "-n", "-x"], in: pair.alpha.namespace)
    let lost = counted.split(separator: "\n").first { $0.contains("NFQUEUE") }?.split(separator: " ").first
    #expect(try #require(lost.flatMap { Int($0) }) > 3, "\(counted)")
    #expect(try pair.alpha.connections().allSatisfy(\.protected))
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  @Test func aDaemonThatIsKilledLeavesItsConnectionsSilent() throws {
    var options = DaemonHost.Options()
    options.deadAfter = "60s"
    let traffic = try Traffic(options)
    let pair = traffic.pair
    pair.alpha.process?.kill()
    try traffic.letOthersGoOn()
    // The application's end would close the sockets: not even that is heard.
    let counts = try traffic.count { pair.server(on: .alpha)?.kill() }
    #expect(counts.sent == 0)
    #expect(counts.received > 0)
    #expect(pair.beta.takeover == nil)
  }
}
