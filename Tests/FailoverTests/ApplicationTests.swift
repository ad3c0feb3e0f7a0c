import Glibc
import Lab
import TCPModel
import Testing

/// What becomes of connections when their application closes them, or dies.
@Suite(.serialized)
struct ApplicationTests {
  /// The daemon has a duplicate, so the kernel sees no close; the peer is to see one all the same.
  @Test func aPlainCloseEndsTheConnectionInOrder() throws {
    let bench = try ContractBench()
    var ends: ContractBench.Ends? = try bench.protected()
    let peer = try #require(ends).peer
    try #require(ends).server.send([UInt8](repeating: 7, count: 200_000))
    let id = try #require(ends).id
    ends = nil
    #expect(try peer.receive(200_000).allSatisfy { $0 == 7 })
    try peer.receiveEnd()
    try wait(for: "the connection to be forgotten", until: .seconds(20)) {
      try !bench.alpha.connections().contains { $0.id == id } && !bench.beta.connections().contains { $0.id == id }
    }
    // Nobody would read it: what is sent now is answered with a reset, as by any closed socket.
    try wait(for: "a reset", until: .seconds(20)) {
      do {
        _ = try [UInt8(1)].withUnsafeBytes { try peer.socket.write($0) }
        return false
      } catch { return true }
    }
  }

  @Test func aCloseWithUnreadInputResetsTheConnection() throws {
    let bench = try ContractBench()
    var ends: ContractBench.Ends? = try bench.protected()
    let peer = try #require(ends).peer
    try peer.send([1, 2, 3])
    let id = try #require(ends).id
    try bench.wait(for: "the input", of: id, on: bench.alpha) { $0.received == 3 }
    ends = nil
    try wait(for: "a reset", until: .seconds(20)) {
      do {
        var byte: [UInt8] = [0]
        let count = try byte.withUnsafeMutableBytes { try peer.socket.read(into: $0) }
        #expect(count == nil, "an orderly end instead of a reset")
        return false
      } catch { return true }
    }
  }

  /// A connection that is passed on, or held twice, is not closed by the first close.
  @Test func aConnectionThatAnotherDescriptorHoldsGoesOn() throws {
    let bench = try ContractBench()
    var ends: ContractBench.Ends? = try bench.protected()
    let peer = try #require(ends).peer
    let other = Stream(TCPSocket(owning: dup(try #require(ends).server.socket.number)))
    var closing: ContractBench.Ends? = try bench.protected()
    let closingPeer = try #require(closing).peer
    ends = nil
    closing = nil
    // By the time that the daemon has found the one that is closed it has looked for the other as well.
    try closingPeer.receiveEnd()
    try peer.send(Array("still here".utf8))
    #expect(try other.receive(10) == Array("still here".utf8))
  }

  @Test(arguments: [Shape.download, .upload, .both, .pingpong])
  func aKilledApplicationGoesOnOnItsOwnHost(_ shape: Shape) throws {
    let pair = try ProtectedPair { try $0.limit("400mbit") }
    try pair.startServers()
    let client = try pair.connect(shape, connections: 10)
    for round in 1...3 {
      let reached = client.progress.least + 100_000
      let goal = shape == .pingpong ? client.progress.least + 640 : reached
      try wait(for: "progress in round \(round)\(pair.explanation)", until: .seconds(60)) {
        client.progress.least >= goal || client.progress.failed > 0
      }
      try #require(pair.server(on: .alpha)).kill()
      try pair.startServer(on: .alpha)
    }
    client.finish(at: client.progress.least + (shape == .pingpong ? 640 : 100_000))
    let report = try client.report(until: .seconds(60))
    #expect(report.failures.isEmpty, "\(report.failures)\(pair.explanation)")
    #expect(pair.beta.takeover == nil)
    let said = pair.said(by: .alpha).filter { $0.hasPrefix("mismatch") || $0.hasPrefix("refused") }
    #expect(said.isEmpty)
  }

  /// The socket was read beyond what is confirmed. Another process on the same host reads it from there all the same.
  @Test func unconfirmedInputComesAgainToAnotherProcessOfTheSameHost() async throws {
    var options = DaemonHost.Options()
    options.more = "[[service]]\nname = \"conf\"\nhold = \"60s\""
    let bench = try ContractBench(options)
    let pattern = Pattern(seed: 33)
    let first = try #require(try ClientLibrary.python.driver(on: bench.alpha) as? ProcessDriver)
    let second = try ClientLibrary.python.driver(on: bench.alpha)
    #expect(try await first.perform("listen 7310").hasPrefix("ok"))
    let peer = Stream(
      try bench.topology.client.run { try TCPSocket.connect(to: try Endpoint(Addresses.service4, 7310)) })
    #expect(try await first.perform("accept a conf confirm -").hasPrefix("ok"))
    try peer.send(pattern.bytes(0..<1000))
    #expect(try await first.perform("read a 1000").hasPrefix("ok"))
    #expect(try await first.perform("write a 6f6e65").hasPrefix("ok"))
    #expect(try peer.receive(3) == Array("one".utf8))
    #expect(try await first.perform("checkpoint a 01").hasPrefix("ok"))
    try peer.send(pattern.bytes(1000..<1600))
    #expect(try await first.perform("read a 600").hasPrefix("ok"))
    #expect(try await first.perform("write a 74776f").hasPrefix("ok"))
    #expect(try peer.receive(3) == Array("two".utf8))
    first.kill()
    let adopted = try await second.perform("adopt x conf")
    #expect(adopted.hasSuffix("- 01 consumed=1000 produced=3 skip=3"), "\(adopted)")
    try peer.send(pattern.bytes(1600..<1700))
    let again = pattern.bytes(1000..<1700).map { hex($0) }.joined()
    #expect(try await second.perform("read x 700") == "ok \(again)")
    #expect(try await second.perform("write x 74776f").hasPrefix("ok"))
    #expect(try await second.perform("write x 7468726565") == "ok consumed=1700 produced=11 skip=0")
    #expect(try peer.receive(5) == Array("three".utf8))
    try bench.wait(for: "protection", of: String(adopted.split(separator: " ")[1]), on: bench.alpha) { $0.protected }
    // And the other host could go on with it.
    try bench.topology.crash(.alpha)
    let (moved, socket) = try bench.adopt("conf", on: bench.beta)
    #expect(moved.connection.consumed == 1000 && moved.produced == 3 && moved.connection.sent == 11)
    #expect(try socket.receive(700) == pattern.bytes(1000..<1700))
    try socket.send(Array("four".utf8))
    #expect(try peer.receive(4) == Array("four".utf8))
  }

  @Test func aKilledApplicationsConnectionsEndWhenNobodyComes() throws {
    var options = DaemonHost.Options()
    options.more = "[[service]]\nname = \"pattern\"\nhold = \"300ms\""
    try endsAfterDeath(options)
  }

  @Test func aKilledApplicationsConnectionsEndAtOnceIfTheServiceSaysSo() throws {
    var options = DaemonHost.Options()
    options.more = "[[service]]\nname = \"pattern\"\non_exit = \"close\"\nhold = \"60min\""
    try endsAfterDeath(options)
  }

  private func endsAfterDeath(_ options: DaemonHost.Options) throws {
    let pair = try ProtectedPair(options: options)
    try pair.startServers()
    let client = try pair.connect(.idle, connections: 5)
    try #require(pair.server(on: .alpha)).kill()
    try wait(for: "five ends\(pair.explanation)", until: .seconds(30)) { client.progress.failed == 5 }
    try wait(for: "the ledgers to go", until: .seconds(20)) {
      try pair.alpha.connections().isEmpty && pair.beta.connections().isEmpty
    }
  }

  @Test func aKilledApplicationsConnectionsMoveToTheOtherHostIfTheServiceSaysSo() throws {
    var options = DaemonHost.Options()
    options.more = "[[service]]\nname = \"pattern\"\non_exit = \"failover\""
    let pair = try ProtectedPair(options: options) { try $0.limit("400mbit") }
    try pair.startServers()
    let client = try pair.connect(.both, connections: 10)
    try wait(for: "progress\(pair.explanation)", until: .seconds(60)) { client.progress.least >= 100_000 }
    try #require(pair.server(on: .alpha)).kill()
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 10)
    client.finish(at: client.progress.least + 100_000)
    let report = try client.report(until: .seconds(60))
    #expect(report.failures.isEmpty, "\(report.failures)\(pair.explanation)")
    try pair.alpha.waitUntil(role: "standby", replication: "synced")
  }
}
