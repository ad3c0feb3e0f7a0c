import Glibc
import Lab
import TCPModel
import Testing

/// Connections that nobody has registered yet when the host dies: half open, in the listener's queue, just accepted. The other host
/// has never heard of them, and says so.
@Suite(.serialized)
struct UnregisteredTests {
  private func waitForReset(_ peer: Stream, _ what: String) throws {
    try wait(for: "a reset of what was \(what)", until: .seconds(30), every: 20) {
      do {
        let answer = try peer.available()
        #expect(answer.isEmpty, "an answer to what was \(what)")
        return false
      } catch {
        guard "\(error)".contains("reset") else { throw error }
        return true
      }
    }
  }

  private func waitForState(_ state: String, port: Int, in namespace: Namespace) throws {
    try wait(for: "\(state) of port \(port)", until: .seconds(10)) {
      try Tool.run("ss", ["-Htn", "state", state, "( sport = :\(port) or dport = :\(port) )"], in: namespace)
        .contains(":\(port)")
    }
  }

  @Test func aConnectionThatWasNotRegisteredIsResetWhenItSpeaks() throws {
    let bench = try ContractBench(.patient)
    let client = bench.topology.client
    func connect(_ port: UInt16 = 0) throws -> Stream {
      Stream(
        try client.run {
          try TCPSocket.connect(
            to: try Endpoint(Addresses.service4, ContractBench.port), from: try Endpoint(Addresses.client, port))
        })
    }
    let kept = try bench.protected()
    let accepted = try bench.connect()
    let silent = try bench.connect()
    try silent.peer.socket.set(SOL_SOCKET, SO_KEEPALIVE, 1)
    for option in [TCP_KEEPIDLE, TCP_KEEPINTVL] { try silent.peer.socket.setTCP(option, 1) }
    // In the listener's queue.
    let queued = try connect(40_001)
    try waitForState("established", port: 40_001, in: bench.topology.alpha)
    // Half open, since the client's last word of three does not arrive; it has said more by then.
    try bench.topology.drop(on: .alpha, "-p", "tcp", "--sport", "40002", "!", "--syn")
    let halfOpen = try connect(40_002)
    try waitForState("established", port: 40_002, in: client)
    try halfOpen.send(Array("is anybody there?".utf8))
    try waitForState("syn-recv", port: 40_002, in: bench.topology.alpha)
    // Half open, since the host's answer does not arrive.
    let rule = ["INPUT", "-p", "tcp", "--dport", "40003", "-j", "DROP"]
    try Tool.run("iptables", ["-w", "-I"] + rule, in: client)
    let connecting = try connect(40_003)
    try waitForState("syn-recv", port: 40_003, in: bench.topology.alpha)
    #expect(try bench.alpha.connections().map(\.id) == [kept.id])

    let listener = try bench.topology.beta.run { try TCPSocket.listen(on: try Endpoint("0.0.0.0", ContractBench.port)) }
    try bench.topology.crash(.alpha)
    try Tool.run("iptables", ["-w", "-D"] + rule, in: client)
    let (_, socket) = try bench.adopt(on: bench.beta)
    try waitForReset(halfOpen, "half open")
    for (peer, what) in [(accepted.peer, "accepted"), (queued, "waiting in the listener's queue")] {
      try peer.send(Array("is anybody there?".utf8))
      try waitForReset(peer, what)
    }
    // Who says nothing is told as soon as its kernel asks.
    try waitForReset(silent.peer, "silent")
    // Who has not been answered asks again, and gets through.
    var server: TCPSocket?
    try wait(for: "the next attempt", until: .seconds(30), every: 20) {
      server = try listener.accept()
      return server != nil
    }
    let second = Stream(try #require(server))
    #expect(second.socket.peerEndpoint?.port == 40_003)
    for (one, other) in [(connecting, second), (second, connecting), (kept.peer, socket), (socket, kept.peer)] {
      try one.send(Array("here".utf8))
      #expect(try other.receive(4) == Array("here".utf8))
    }
    #expect(try listener.accept() == nil, "a connection that nobody made")
    #expect(try bench.beta.connections().map(\.id) == [kept.id])
  }
}
