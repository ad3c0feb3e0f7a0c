import Holdfast
import SystemCalls
import Testing

@Suite struct HoldfastClientTests {
  @Test func registeringHandsOverADuplicateAndKeepsTheDescriptor() throws {
    let server = try ServerThread()
    let client = try HoldfastClient(path: server.path)
    let file = try markedFile(42)
    #expect(
      try client.register(file.number, service: "web", key: "k")
        == RegisterReply(id: "1:[42]", protected: false, reason: "k"))
    #expect(mark(of: file.number) == 42)
  }

  @Test func refusalsAreTypedAndTheConnectionGoesOn() throws {
    let server = try ServerThread()
    let client = try HoldfastClient(path: server.path)
    let file = try markedFile(1)
    #expect(throws: HoldfastError.refused(.addressNotServed(local: "10.0.0.1:80"))) {
      try client.register(file.number, service: "elsewhere")
    }
    #expect(throws: HoldfastError.refused(.noSuchConnection(id: "7"))) { try client.release("7") }
    try client.release("1", how: .close)
    #expect(try client.status().node == "alpha")
  }

  @Test func aLongReplyArrivesWhole() throws {
    let server = try ServerThread()
    let client = try HoldfastClient(path: server.path)
    let connections = try client.connections()
    #expect(connections.map(\.id) == (0..<2000).map { "\($0)" })
  }

  @Test func adoptionGivesEachConnectionItsSocketAndEndsWithTheDaemon() throws {
    var server: ServerThread? = try ServerThread()
    let client = try HoldfastClient(path: server?.path ?? "")
    let adoption = try client.adopt(service: "web")
    for index in 1...3 {
      let adopted = try adoption.next()
      #expect(adopted.info.id == "\(index)" && adopted.info.sent == 8)
      let checkpoint = adopted.checkpoint
      #expect(checkpoint?.state == (index == 2 ? [1, 2, 3] : nil))
      #expect(checkpoint?.produced == (index == 2 ? 5 : nil))
      let socket = adopted.takeSocket()
      #expect(mark(of: socket.number) == UInt8(index))
    }
    server = nil
    #expect(throws: HoldfastError.connectionLost(path: client.path)) { _ = try adoption.next() }
    #expect(server == nil)
  }

  @Test func noDaemonIsAnErrorThatSaysSo() throws {
    let path = temporaryPath()
    let error = #expect(throws: HoldfastError.daemonNotRunning(path: path)) { try HoldfastClient(path: path) }
    #expect(error?.description.contains("is not running") == true)
  }

  @Test func theNextCallFindsARestartedDaemon() throws {
    var server: ServerThread? = try ServerThread()
    let path = server?.path ?? ""
    let client = try HoldfastClient(path: path)
    #expect(try client.status().node == "alpha")
    server = nil
    #expect(throws: HoldfastError.daemonNotRunning(path: path)) { try client.status() }
    server = try ServerThread(path: path)
    #expect(try client.status().node == "alpha")
    #expect(server != nil)
  }

  @Test func aDaemonThatDoesNotAnswerInTimeIsAnErrorAndItsLateAnswerIsNotTakenForAnother() throws {
    let path = temporaryPath()
    let listener = try UnixListener(path: path, mode: 0o600)
    let client = try HoldfastClient(path: path, patience: 20)
    guard let first = try listener.accept() else {
      Issue.record("nobody connected")
      return
    }
    #expect(throws: HoldfastError.self) { try client.status() }
    _ = try? DescriptorPassing.send(Array(#"{"parameters":{"node":"late","pairs":[]}}"#.utf8)[...], over: first.number)
    // It has given up that connection and tries another, which nobody answers either.
    #expect(throws: HoldfastError.self) { try client.status() }
    #expect(try listener.accept() != nil)
  }
}
