import Glibc
import Lab
import TCPModel
import Testing

/// How sessions end, with both ends in the test's hands.
@Suite(.serialized)
struct ProxyEndTests {
  @Test func aClientThatHasEndedStillGetsItsAnswerFromTheOtherHost() throws {
    let bench = try ProxyBench()
    let session = try bench.session()
    try session.client.send("question")
    try session.client.socket.finishWriting()
    try session.server.receive("question")
    try session.server.receiveEnd()
    try session.server.send("first half, ")
    try session.client.receive("first half, ")
    try bench.lab.crash()
    try session.server.send("second half")
    try session.server.socket.finishWriting()
    try session.client.receive("second half")
    try session.client.receiveEnd()
  }

  @Test func aServerThatHasEndedStillHearsTheClientOverTheOtherHost() throws {
    let bench = try ProxyBench()
    let session = try bench.session()
    try session.server.send("greeting")
    try session.server.socket.finishWriting()
    try session.client.receive("greeting")
    try session.client.receiveEnd()
    try session.client.send("one, ")
    try session.server.receive("one, ")
    try bench.lab.crash()
    try session.client.send("two")
    try session.client.socket.finishWriting()
    try session.server.receive("two")
    try session.server.receiveEnd()
  }

  /// The leg to the server is over in both directions; what it brought is still on its way to a client that does not read.
  @Test func aLegThatIsOverIsKeptUntilTheOtherHasEverything() throws {
    let bench = try ProxyBench()
    let session = try bench.session(receiveBuffer: 1 << 16)
    // More than the client's window and less than all buffers on the way: the server is done, the client has hardly begun.
    let answer = Pattern(seed: 5).bytes(0..<(160 << 10))
    try session.client.send("question")
    try session.client.socket.finishWriting()
    try session.server.receive("question")
    try session.server.receiveEnd()
    try session.server.send(answer)
    try session.server.socket.finishWriting()
    try wait(for: "the server's leg to be over\(bench.lab.explanation)", until: .seconds(20), every: 20) {
      try bench.lab.pair.alpha.connections().contains { ($0.key ?? "").contains(" back ") && $0.tcpState == "CLOSE" }
    }
    #expect(try session.client.receive(1) == [answer[0]])
    try bench.lab.crash()
    #expect(try session.client.receive(answer.count - 1) == Array(answer[1...]))
    try session.client.receiveEnd()
    try wait(for: "beta to forget the session\(bench.lab.explanation)", until: .seconds(20), every: 20) {
      try bench.lab.pair.beta.connections().isEmpty
    }
  }

  @Test func aResetGoesThroughAndNothingIsLeft() throws {
    let bench = try ProxyBench()
    let session = try bench.session()
    try session.client.send("hello")
    try session.server.receive("hello")
    // What the kernel sends for a process that closes with unread data, or with SO_LINGER 0.
    var nobody = sockaddr()
    nobody.sa_family = sa_family_t(AF_UNSPEC)
    #expect(connect(session.client.socket.number, &nobody, socklen_t(MemoryLayout<sockaddr>.size)) == 0)
    try wait(for: "the server to be reset\(bench.lab.explanation)", until: .seconds(20)) {
      try session.server.socket.takeError() == ECONNRESET
    }
    try wait(for: "alpha to forget the session", until: .seconds(20), every: 20) {
      try bench.lab.pair.alpha.connections().isEmpty
    }
  }

  @Test func anOrderlyStopWaitsForSessionsAndTakesNoFurtherClients() throws {
    let bench = try ProxyBench()
    let session = try bench.session()
    let proxy = try #require(bench.lab.proxy(on: .alpha))
    proxy.signal(SIGTERM)
    try wait(for: "the drain", until: .seconds(20)) { proxy.standardError.contains("takes no more clients") }
    try wait(for: "the listener to close", until: .seconds(20), every: 20) {
      try Tool.run("ss", ["-Htln", "sport = :\(ProxyBench.port)"], in: bench.lab.pair.alpha.namespace).isEmpty
    }
    try session.client.send("still here")
    try session.server.receive("still here")
    #expect(proxy.isRunning)
    try session.client.socket.finishWriting()
    try session.server.receiveEnd()
    try session.server.socket.finishWriting()
    try session.client.receiveEnd()
    #expect(try proxy.wait(until: .seconds(20)) == 0, "\(proxy.standardError)")
  }

  @Test func aClientBeyondTheLimitWaitsForAnotherToLeave() throws {
    let bench = try ProxyBench(frontend: "max_connections = 1")
    let first = try bench.session()
    let second = try bench.connect()
    try second.send("let me in")
    try first.client.send("first")
    try first.server.receive("first")
    #expect(try bench.listener.accept() == nil)
    try first.client.socket.finishWriting()
    try first.server.receiveEnd()
    try first.server.socket.finishWriting()
    try first.client.receiveEnd()
    try bench.accept().receive("let me in")
  }

  @Test func aServerThatDoesNotAnswerIsLeftOutAndAClientWithoutOneIsReset() throws {
    let bench = try ProxyBench(backend: "check_interval = \"50ms\"\nfall = 1\nrise = 1")
    let proxy = try #require(bench.lab.proxy(on: .alpha))
    // Nobody listened when the proxy started.
    try wait(for: "the server to be up\(bench.lab.explanation)", until: .seconds(20)) {
      proxy.standardError.contains("server is up")
    }
    let session = try bench.session()
    try session.client.send("served")
    try session.server.receive("served")
    // Nobody listens any more.
    shutdown(bench.listener.number, Int32(SHUT_RDWR))
    try wait(for: "the check to fail\(bench.lab.explanation)", until: .seconds(20)) {
      let states = proxy.standardError.split(separator: "\n").filter { $0.contains("server is ") }
      return states.last?.contains("server is down") ?? false
    }
    let client = try bench.connect()
    try wait(for: "the client to be reset\(bench.lab.explanation)", until: .seconds(20)) {
      try client.socket.takeError() == ECONNRESET
    }
    try session.client.send("and still")
    try session.server.receive("and still")
  }
}
