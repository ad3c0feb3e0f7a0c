import Lab
import TCPModel
import Testing

/// What an application had told a daemon that crashes is gone with it, unless a socket tells: it is asked for again, and the connection
/// is not protected until it has been said.
@Suite(.serialized)
struct DaemonCrashContractTests {
  private let pattern = Pattern(seed: 16)

  private static var managed: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.isManaged = true
    options.deadAfter = "5s"
    options.exposeAfter = "8s"
    return options
  }

  /// The daemon crashes, and the standby follows the next one.
  private func crashDaemon(_ bench: ContractBench) throws -> ControlClient {
    try bench.alpha.crashAndRestart()
    try bench.alpha.waitUntil(role: "active", replication: "synced")
    #expect(bench.beta.takeover == nil)
    return try bench.alpha.control()
  }

  /// A packet each way: all that a ledger lacks of its connection's state.
  private func talk(_ ends: ContractBench.Ends, sent: inout Int) throws {
    try ends.server.send(Array("talk".utf8))
    #expect(try ends.peer.receive(4) == Array("talk".utf8))
    sent += 4
  }

  @Test func offsetsGoOnWhereTheyWere() throws {
    let bench = try ContractBench(Self.managed)
    let ends = try bench.protected()
    var sent = 0
    try ends.peer.send(pattern.bytes(0..<10_000))
    #expect(try ends.server.receive(6000) == pattern.bytes(0..<6000))
    try talk(ends, sent: &sent)
    for _ in 0..<2 {
      _ = try crashDaemon(bench)
      try talk(ends, sent: &sent)
      for host in [bench.alpha, bench.beta] {
        try bench.wait(for: "the same offsets on \(host.name)", of: ends.id, on: host) {
          $0.consumed == 6000 && $0.received == 10_000 && $0.sent == sent && $0.protected
        }
      }
    }
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(adopted.connection.consumed == 6000 && adopted.connection.sent == sent)
    #expect(try socket.receive(4000) == pattern.bytes(6000..<10_000))
  }

  @Test func inputThatWasNotConfirmedHasToBe() throws {
    let bench = try ContractBench(Self.managed)
    let ends = try bench.protected(retention: "confirm")
    var sent = 0
    try ends.peer.send(pattern.bytes(0..<10_000))
    #expect(try ends.server.receive(8000) == pattern.bytes(0..<8000))
    func confirm(_ consumed: Int, _ control: ControlClient) throws {
      let _: Nothing = try control.call("Confirm", ConfirmParameters(id: ends.id, consumed: consumed))
    }
    try confirm(4000, bench.alpha.control())
    let control = try crashDaemon(bench)
    try talk(ends, sent: &sent)
    // What it had confirmed before is no mistake, and not enough.
    for consumed in [4000, 3000, 7999] { try confirm(consumed, control) }
    let info = try bench.info(ends.id, on: bench.alpha)
    #expect(!info.protected && info.obstacle?.contains("confirm 8000 or more") == true)
    #expect(try bench.alpha.status().pairs.first?.connections == 1)
    for consumed in [-1, 10_001] { #expect(refusal { try confirm(consumed, control) } == "io.holdfast.InvalidOffset") }
    try confirm(8000, control)
    for host in [bench.alpha, bench.beta] {
      try bench.wait(for: "protection on \(host.name)", of: ends.id, on: host) { $0.consumed == 8000 && $0.protected }
    }
    // From here on an offset has to be right again.
    #expect(refusal { try confirm(7999, control) } == "io.holdfast.InvalidOffset")
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(adopted.connection.consumed == 8000 && adopted.connection.received == 10_000)
    #expect(try socket.receive(2000) == pattern.bytes(8000..<10_000))
  }

  @Test func aCheckpointHasToBeMadeAgain() throws {
    let bench = try ContractBench(Self.managed)
    let ends = try bench.protected()
    var sent = 0
    func checkpoint(_ state: String, _ consumed: Int, _ control: ControlClient) throws {
      let _: Nothing = try control.call(
        "Checkpoint",
        CheckpointParameters(id: ends.id, state: base64(Array(state.utf8)), consumed: consumed, produced: nil))
    }
    try checkpoint("first", 0, bench.alpha.control())
    try ends.peer.send(pattern.bytes(0..<5000))
    #expect(try ends.server.receive(5000).count == 5000)
    try checkpoint("second", 2000, bench.alpha.control())
    try talk(ends, sent: &sent)
    let control = try crashDaemon(bench)
    try talk(ends, sent: &sent)
    // What comes after it is held no longer.
    try checkpoint("second once more", 2000, control)
    try talk(ends, sent: &sent)
    #expect(try bench.info(ends.id, on: bench.alpha).obstacle?.contains("checkpoint") == true)
    try checkpoint("third", 5000, control)
    try ends.peer.send(pattern.bytes(5000..<6000))
    #expect(try ends.server.receive(1000).count == 1000)
    try talk(ends, sent: &sent)
    try bench.wait(for: "protection", of: ends.id, on: bench.beta) { $0.received == 6000 && $0.protected }
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(try adopted.state.map { String(decoding: try bytes(base64: $0), as: UTF8.self) } == "third")
    #expect(try socket.receive(1000) == pattern.bytes(5000..<6000))
  }

  /// The other host has never heard of a connection that lacks something: it says so to the peer, which need not wait for its timers.
  @Test func aHostThatDiesBeforeItWasSaidEndsTheConnection() throws {
    let bench = try ContractBench(Self.managed)
    let ends = try bench.protected(retention: "confirm")
    try ends.peer.send(pattern.bytes(0..<100))
    #expect(try ends.server.receive(60).count == 60)
    _ = try crashDaemon(bench)
    try bench.topology.crash(.alpha)
    try bench.beta.waitUntil(role: "active")
    #expect(throws: (any Error).self) {
      try ends.peer.send(pattern.bytes(100..<200))
      _ = try ends.peer.receive(1)
    }
  }

  /// What an application has been told holds for the next daemon, too, however soon after that the daemon crashes.
  @Test func whatWasAnsweredIsKept() throws {
    let bench = try ContractBench(Self.managed)
    let count = 60
    let ends = try (0..<count).map { _ in try bench.connect() }
    let client = try bench.alpha.control()
    for end in ends {
      try client.send(
        "Register", RegisterParameters(service: "contract"), descriptors: [end.server.socket.number], more: false)
    }
    let registered = try ends.map { _ in try client.receive() as RegisterResult }
    let control = try crashDaemon(bench)
    #expect(try bench.alpha.connections().count == count)
    for (end, result) in zip(ends, registered) {
      try end.server.send(Array("talk".utf8))
      #expect(try end.peer.receive(4) == Array("talk".utf8))
      let _: Nothing = try control.call("Release", ReleaseParameters(id: result.id, how: "keep"))
    }
    var kept: [ContractBench.Ends] = []
    for end in ends.prefix(20) { kept.append(try bench.protected(end)) }
    try bench.topology.crash(.alpha)
    let adopter = try bench.beta.control()
    try adopter.send("Adopt", AdoptParameters(service: "contract"), more: true)
    var adopted: [String: Stream] = [:]
    for _ in kept {
      let result: AdoptResult = try adopter.receive()
      adopted[result.connection.id] = Stream(TCPSocket(owning: try adopter.takeDescriptor(result.fd)))
    }
    try bench.beta.crashAndRestart()
    try bench.beta.waitUntil(role: "active")
    #expect(try Set(bench.beta.connections().map(\.id)) == Set(kept.map(\.id)))
    for end in kept {
      let server = try #require(adopted[end.id])
      try server.send(Array("more".utf8))
      #expect(try end.peer.receive(4) == Array("more".utf8))
    }
  }
}
