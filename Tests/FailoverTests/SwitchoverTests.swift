import Glibc
import Lab
import Synchronization
import TCPModel
import Testing

/// The planned switchover: both hosts live, and the connections move.
@Suite(.serialized)
struct SwitchoverTests {
  @Test(arguments: [Shape.download, .upload, .both, .pingpong, .idle])
  func theConnectionsMoveUnderLoad(_ shape: Shape) throws {
    var scenario = Failover(shape: shape, connections: 5)
    scenario.departure = { pair in
      let now = Topology.Crash.now
      try pair.alpha.switchOver()
      try pair.alpha.waitUntil(role: "standby", replication: "synced")
      return now
    }
    let outcome = try scenario.run()
    #expect(outcome.violations.isEmpty, "\(outcome.violations)\n\(outcome.log)")
    #expect(outcome.takeover.detected == 0)
  }

  /// Packets of the former host reach the peer after it has told the new one where it is: it acknowledges what the new socket has
  /// not sent yet.
  @Test func whatIsStillUnderWayMayArriveLater() throws {
    var scenario = Failover(shape: .download)
    let network = Mutex<Disturbance?>(nil)
    scenario.prepare = { topology in
      let made = try Disturbance(topology, .none, from: .alpha, dice: Dice(seed: 1))
      network.withLock { $0 = made }
    }
    func loseData(_ change: String, of host: HostName, in topology: Topology) throws {
      let address = try topology.linkAddress(of: host)
      try Tool.run(
        "iptables",
        [
          "-w", change, "INPUT", "-m", "mac", "--mac-source", address, "-m", "length", "--length", "500:", "-j", "DROP",
        ],
        in: topology.client)
    }
    scenario.beforeCrash = { pair, _ in
      let network = try #require(network.withLock { $0 })
      network.hold(true)
      // All that the window allows is under way: more than a new socket begins with.
      var held = 0
      try wait(for: "alpha to fall silent: \(network.counts)", until: .seconds(20), every: 50) {
        defer { held = network.counts.held }
        return held > 20 && held == network.counts.held
      }
      // What beta asks arrives, and what it sends again does not.
      try loseData("-A", of: .beta, in: pair.topology)
    }
    scenario.departure = { pair in
      let now = Topology.Crash.now
      try pair.alpha.switchOver()
      return now
    }
    scenario.afterTakeover = { pair, client in
      let before = client.progress.least
      network.withLock { $0?.hold(false) }
      try wait(for: "what alpha had sent to arrive", until: .seconds(20)) { client.progress.least > before + 20_000 }
      try loseData("-D", of: .beta, in: pair.topology)
    }
    let outcome = try scenario.run()
    #expect(outcome.violations.isEmpty, "\(outcome.violations)\n\(outcome.log)")
  }

  @Test func anOrderlyStopMovesTheConnections() throws {
    var scenario = Failover(shape: .both, connections: 3)
    scenario.departure = { pair in
      let now = Topology.Crash.now
      let daemon = try #require(pair.alpha.process)
      kill(daemon.pid, SIGTERM)
      #expect(try daemon.wait(until: .seconds(20)) == 0)
      return now
    }
    let outcome = try scenario.run()
    #expect(outcome.violations.isEmpty, "\(outcome.violations)\n\(outcome.log)")
  }

  /// What an application has written and the kernel has not sent is not written again.
  @Test func whatWasNotSentMovesToo() throws {
    var scenario = Failover(shape: .download)
    // A client that does not read has the server's output pile up in its socket.
    scenario.client.receiveBuffer = 8192
    var unsent: UInt64 = 0
    scenario.beforeCrash = { pair, client in
      client.setReading(false)
      var last: UInt64 = 0
      try wait(for: "the window to close", until: .seconds(20), every: 50) {
        defer { last = (try? pair.alpha.connections().first?.sent) ?? 0 }
        return try last > 0 && pair.alpha.connections().first?.sent == last
      }
      unsent = last
    }
    scenario.departure = { pair in
      let now = Topology.Crash.now
      try pair.alpha.switchOver()
      return now
    }
    scenario.afterTakeover = { pair, client in
      let adopted = try #require(try pair.beta.connections().first)
      #expect(adopted.sent > unsent + 8192, "only what had left was moved")
      client.setReading(true)
    }
    let outcome = try scenario.run()
    #expect(outcome.violations.isEmpty, "\(outcome.violations)\n\(outcome.log)")
  }

  @Test func itIsRefusedWithTheReason() throws {
    let pair = try ProtectedPair()
    try pair.startServers()
    let client = try pair.connect(.pingpong)
    func refusal(_ host: DaemonHost, _ name: String) -> String {
      do {
        try host.switchOver(pair: name)
        return "it was not refused"
      } catch {
        return "\(error)"
      }
    }
    #expect(refusal(pair.beta, "web").contains("not active for web"))
    #expect(refusal(pair.alpha, "wbe").contains("no pair \"wbe\""))
    let beta = try #require(pair.beta.process)
    kill(beta.pid, SIGTERM)
    _ = try beta.wait(until: .seconds(20))
    try pair.alpha.waitUntil(role: "active", replication: "exposed")
    #expect(refusal(pair.alpha, "web").contains("does not hold everything yet"))
    let before = client.progress.least
    try wait(for: "the connection to go on", until: .seconds(20)) { client.progress.least > before + 640 }
    client.finish()
    #expect(try client.report(until: .seconds(20)).failures.isEmpty)
  }

  /// An idle connection, and nothing but what is waited for ends a switchover; with the standby's daemon.
  private static func patientPair() throws -> (ProtectedPair, PatternClient, beta: LabProcess) {
    var options = DaemonHost.Options()
    options.deadAfter = "20s"
    options.exposeAfter = "20s"
    let pair = try ProtectedPair(options: options)
    try pair.startServers()
    return (pair, try pair.connect(.idle), try #require(pair.beta.process))
  }

  /// A standby that stops answering in the middle of it: the sockets go on where they are.
  @Test func itIsUndoneWhenTheStandbyDoesNotAnswer() throws {
    let (pair, client, beta) = try Self.patientPair()
    kill(beta.pid, SIGSTOP)
    #expect(throws: LabError.self) { try pair.alpha.switchOver() }
    #expect(try pair.alpha.status().pairs.first?.role == "active")
    kill(beta.pid, SIGCONT)
    client.setSpeaking(true)
    try wait(for: "the connection to speak", until: .seconds(30)) { client.progress.least >= 640 }
    client.finish()
    #expect(try client.report(until: .seconds(30)).failures.isEmpty)
  }

  /// What arrives while the sockets stand still moves with them: here the client cannot say it twice.
  @Test func aRequestThatComesMeanwhileIsAnsweredByTheOtherHost() throws {
    let (pair, client, beta) = try Self.patientPair()
    beta.signal(SIGSTOP)
    let command = try LabProcess.start(
      Products.path(of: "holdfastctl"), ["switchover", "web", "--socket", pair.alpha.controlPath],
      in: pair.alpha.namespace)
    try wait(for: "the sockets to stand still", until: .seconds(20)) { pair.alpha.log.contains("switchover:") }
    client.setSpeaking(true)
    try wait(for: "the request to wait in the queue", until: .seconds(20)) {
      // linux/net/netfilter/nfnetlink_queue.c, seq_show: the third column counts what waits.
      try Tool.run("cat", ["/proc/net/netfilter/nfnetlink_queue"], in: pair.alpha.namespace).split(separator: "\n")
        .contains { $0.split(separator: " ").dropFirst(2).first != "0" }
    }
    func loseRequests(_ change: String) throws {
      try Tool.run(
        "iptables",
        ["-w", change, "OUTPUT", "-d", Addresses.service4, "-m", "length", "--length", "100:", "-j", "DROP"],
        in: pair.topology.client)
    }
    try loseRequests("-A")
    beta.signal(SIGCONT)
    #expect(try command.wait(until: .seconds(20)) == 0, "\(command.standardError)\(pair.explanation)")
    try wait(for: "the answer\(pair.explanation)", until: .seconds(20)) { client.progress.least >= 64 }
    try loseRequests("-D")
    client.finish()
    #expect(try client.report(until: .seconds(30)).failures.isEmpty)
  }

  /// With much to carry over a slow link it takes longer than the standby may be silent, and goes on as long as the standby does. The
  /// application, whose calls fail meanwhile, lets go of its socket: that is not the connection's end.
  @Test func aMoveThatTakesSecondsLosesNothing() throws {
    var options = DaemonHost.Options()
    options.isManaged = true
    // Heartbeats share the link with the records.
    options.deadAfter = "2s"
    options.exposeAfter = "3s"
    let bench = try ContractBench(options)
    var ends: ContractBench.Ends? = try bench.protected()
    let (peer, id) = try #require(ends.map { ($0.peer, $0.id) })
    let output = Pattern(seed: 5).bytes(0..<5_000_000)
    try #require(ends).server.socket.set(SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20)
    try #require(ends).server.send(output)
    try wait(for: "the records", until: .seconds(20)) {
      try bench.info(id, on: bench.beta).sent == bench.info(id, on: bench.alpha).sent
    }
    // Closing with unread input is a reset, at once.
    let input = Pattern(seed: 6).bytes(0..<1000)
    try peer.send(input)
    try bench.wait(for: "the input", of: id, on: bench.beta) { $0.received == input.count }
    let sent = try bench.info(id, on: bench.alpha).sent
    #expect(sent < 1_000_000, "most of it is still to be sent")
    try bench.topology.limitReplication("8mbit")
    let daemon = try #require(bench.alpha.process)
    daemon.signal(SIGTERM)
    try wait(for: "the sockets to stand still", until: .seconds(20)) { bench.alpha.log.contains("switchover:") }
    ends = nil
    #expect(try daemon.wait(until: .seconds(60)) == 0, "\(bench.alpha.log)")
    #expect(try #require(bench.alpha.manager).received().contains { $0.hasPrefix("EXTEND_TIMEOUT_USEC=") })
    try bench.beta.waitUntil(role: "active")
    try wait(for: "the restored connection\(bench.alpha.log)\(bench.beta.log)", until: .seconds(20)) {
      bench.beta.log.contains("takeover complete")
    }
    try #require(try bench.beta.connections().map(\.id) == [id], "\(bench.alpha.log)\(bench.beta.log)")
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(adopted.connection.id == id && adopted.connection.sent == output.count)
    #expect(try peer.receive(output.count) == output)
    #expect(try socket.receive(input.count) == input)
    try socket.send(Array("and on".utf8))
    #expect(try peer.receive(6) == Array("and on".utf8))
  }

  /// There and back again, under one stream.
  @Test func aPairMovesToAndFro() throws {
    var options = DaemonHost.Options()
    // A small machine that is busy must not look like a dead host.
    options.deadAfter = "2s"
    options.exposeAfter = "3s"
    let pair = try ProtectedPair(options: options)
    try pair.topology.limit("400mbit")
    try pair.startServers()
    let capture = try pair.topology.capture(bytes: 192, filter: "tcp portrange 7000-7004")
    let client = try pair.connect(.both, connections: 3)
    for round in 0..<4 {
      let (from, to) = round % 2 == 0 ? (pair.alpha, pair.beta) : (pair.beta, pair.alpha)
      try from.waitUntil(role: "active", replication: "synced")
      let before = client.progress.least
      do { try from.switchOver() } catch { throw LabError("\(error)\(pair.explanation)") }
      try to.waitUntil(role: "active", replication: "synced")
      // As long as some are still being restored nothing is synced.
      #expect(try to.connections().count == 3)
      try wait(for: "the streams to go on, round \(round)\(pair.explanation)", until: .seconds(30)) {
        client.progress.least > before + 1_000_000
      }
    }
    // What moves does not become more with each move: the buffers are no larger than the kernel makes them.
    let most = try #require(Files.read("/proc/sys/net/ipv4/tcp_wmem").split(whereSeparator: \.isWhitespace).last)
    for socket in try pair.sockets(on: .alpha, shape: .both) {
      #expect(try #require(socket.memory("tb")) <= #require(Int(most)), "\(socket.info)")
    }
    client.finish()
    let report = try client.report(until: .seconds(60))
    #expect(report.failures.isEmpty, "\(report.failures)\n\(pair.explanation)")
    let check = try CaptureCheck(capture.stop(), isService: { (7000...7004).contains($0.port) })
    #expect(check.violations.isEmpty)
  }
}
