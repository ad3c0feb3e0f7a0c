import Glibc
import Lab
import TCPModel
import Testing

/// How sessions end, with both ends in the test's hands.
@Suite(.serialized)
struct ProxyEndTests {
  static let port: UInt16 = 7000

  /// A client's and a server's socket, with a proxy between them.
  private struct Session {
    let client: Stream
    let server: Stream
  }

  private struct Bench {
    let lab: ProxiedPair
    let listener: TCPSocket

    init(frontend: String = "", backend: String = "check = \"none\"") throws {
      let lab = try ProxiedPair(port: port, backend: backend, frontend: frontend)
      self.lab = lab
      listener = try lab.server.run { try TCPSocket.listen(on: try Endpoint(Addresses.server, port)) }
    }

    func connect(receiveBuffer: Int32? = nil) throws -> Stream {
      Stream(
        try lab.pair.topology.client.run {
          try TCPSocket.connect(to: try Endpoint(Addresses.service4, port), receiveBuffer: receiveBuffer)
        })
    }

    func accept() throws -> Stream {
      var accepted: TCPSocket?
      try wait(for: "the proxy to call\(lab.explanation)", until: .seconds(20)) {
        // A check comes from a host's own address.
        let service = try Endpoint(Addresses.service4, port).address
        while let next = try listener.accept() { if next.peerEndpoint?.address == service { accepted = next } }
        return accepted != nil
      }
      guard let accepted else { throw LabError("nobody called") }
      return Stream(accepted)
    }

    func session(receiveBuffer: Int32? = nil) throws -> Session {
      let client = try connect(receiveBuffer: receiveBuffer)
      let session = Session(client: client, server: try accept())
      try lab.waitForSessions(1)
      return session
    }
  }

  private final class Stream {
    let socket: TCPSocket
    private var unread: [UInt8] = []
    private(set) var hasEnded = false

    init(_ socket: TCPSocket) { self.socket = socket }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
      var rest = bytes[...]
      try wait(for: "room for \(rest.count) bytes", until: .seconds(30)) {
        // Before it is connected it takes nothing.
        rest = rest.dropFirst((try? rest.withUnsafeBytes { try socket.write($0) }) ?? 0)
        return rest.isEmpty
      }
    }

    func receive(_ text: String) throws {
      let bytes = try receive(text.utf8.count)
      #expect(String(decoding: bytes, as: UTF8.self) == text)
    }

    func receive(_ count: Int) throws -> [UInt8] {
      try wait(for: "\(count) bytes, of which \(unread.count) came", until: .seconds(30)) {
        try take()
        if hasEnded, unread.count < count { throw LabError("the stream ended after \(unread.count) of \(count) bytes") }
        return unread.count >= count
      }
      defer { unread.removeFirst(count) }
      return Array(unread[..<count])
    }

    func receiveEnd() throws {
      try wait(for: "the end of the stream", until: .seconds(30)) {
        try take()
        return hasEnded
      }
      #expect(unread.isEmpty, "\(unread.count) bytes too many")
    }

    private func take() throws {
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      while !hasEnded, let read = try buffer.withUnsafeMutableBytes({ try socket.read(into: $0) }) {
        if read == 0 { hasEnded = true } else { unread += buffer[..<read] }
      }
    }
  }

  @Test func aClientThatHasEndedStillGetsItsAnswerFromTheOtherHost() throws {
    let bench = try Bench()
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
    let bench = try Bench()
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
    let bench = try Bench()
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
    let bench = try Bench()
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
    let bench = try Bench()
    let session = try bench.session()
    let proxy = try #require(bench.lab.proxy(on: .alpha))
    proxy.signal(SIGTERM)
    try wait(for: "the drain", until: .seconds(20)) { proxy.standardError.contains("takes no more clients") }
    try wait(for: "the listener to close", until: .seconds(20), every: 20) {
      try Tool.run("ss", ["-Htln", "sport = :\(Self.port)"], in: bench.lab.pair.alpha.namespace).isEmpty
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
    let bench = try Bench(frontend: "max_connections = 1")
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
    let bench = try Bench(backend: "check_interval = \"50ms\"\nfall = 1\nrise = 1")
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
