import Glibc
import Holdfast
import Lab
import LinuxNetwork
import SystemCalls
import Testing

/// Programs that have as many files open as they may.
@Suite(.serialized)
struct OpenFilesTests {
  private var patient: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.deadAfter = "500ms"
    options.node = "adopt_timeout = \"60s\""
    return options
  }

  /// The kernel drops what the process has no room for. The daemon's own descriptors keep the connections, and it offers them again.
  @Test func whatAProcessHasNoRoomForItAdoptsLater() throws {
    let pair = try ProtectedPair(options: patient) { try $0.limit("100mbit") }
    try pair.startServers()
    let shapes: [Shape] = [.download, .upload, .both, .pingpong]
    let clients = try shapes.map { shape in
      let client = try pair.connect(shape, connections: 3)
      try pair.waitForProgress(client)
      return client
    }
    let server = try #require(pair.server(on: .beta))
    try server.limitOpenFiles(toAnother: 3)
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 12 && takeover.lostConnections == 0, "\(pair.explanation)")
    try wait(for: "connections to be taken back\(pair.explanation)", until: .seconds(20)) {
      pair.beta.log.contains("they are offered again")
    }
    try server.liftOpenFilesLimit()
    try wait(for: "all to be adopted\(pair.explanation)", until: .seconds(30)) {
      Set(
        pair.said(by: .beta).filter { $0.hasPrefix("adopted") }.compactMap {
          $0.split(separator: " ").dropFirst().first
        }
      )
      .count == 12
    }
    for client in clients { client.finish(at: client.progress.least + 64 * 100) }
    let failures = try clients.flatMap { try $0.report(until: .seconds(60)).failures }
    #expect(failures == [], "\(pair.explanation)")
    #expect(pair.said(by: .beta).filter { $0.hasPrefix("mismatch") }.isEmpty)
  }

  /// One that never has room keeps nobody waiting for longer than one that is not there.
  @Test func whatOnlyAProcessWithoutRoomWaitsForIsResetInTime() throws {
    var options = patient
    options.node = "adopt_timeout = \"2s\""
    let pair = try ProtectedPair(options: options)
    try pair.startServers()
    let client = try pair.connect(.idle, connections: 3)
    try #require(pair.server(on: .beta)).limitOpenFiles(toAnother: 0)
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 3, "\(pair.explanation)")
    try wait(for: "three resets\(pair.explanation)", until: .seconds(20)) { client.progress.failed == 3 }
    #expect(pair.beta.log.contains("nobody adopted the connection in time; it is reset"), "\(pair.explanation)")
  }

  /// Another process takes what one could not.
  @Test(arguments: [ClientLibrary.python, .pythonAsyncio, .c])
  func aLibrarySaysThatThereIsNoRoom(_ library: ClientLibrary) async throws {
    let bench = try ContractBench(patient)
    let driver = try #require(try library.driver(on: bench.beta) as? ProcessDriver)
    // It has begun: what it opens is open.
    #expect(try await driver.perform("missing") == "error io.holdfast.NoSuchConnection")
    let ends = try bench.protected()
    // Room for the control connection.
    try driver.process.limitOpenFiles(toAnother: 1)
    try bench.topology.crash(.alpha)
    try wait(for: "the takeover\(bench.beta.log)", until: .seconds(20)) { bench.beta.takeover != nil }
    let refused = try await driver.perform("adopt x contract")
    #expect(refused.hasPrefix("error") && refused.contains("limit of open files"), "\(refused)")
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(adopted.connection.id == ends.id)
    try socket.send(Array("here".utf8))
    #expect(try ends.peer.receive(4) == Array("here".utf8))
  }

  @Test func theSwiftLibrarySaysThatThereIsNoRoom() throws {
    let bench = try ContractBench(patient)
    let ends = try bench.protected()
    try bench.topology.crash(.alpha)
    try wait(for: "the takeover\(bench.beta.log)", until: .seconds(20)) { bench.beta.takeover != nil }
    let client = try HoldfastClient(path: bench.beta.controlPath)
    let adoption = try client.adopt(service: "contract")
    let error = try withoutRoom { #expect(throws: HoldfastError.tooManyOpenFiles) { _ = try adoption.next() } }
    #expect(error?.description.contains("LimitNOFILE") == true)
    // It has hung up, and says so.
    #expect(throws: HoldfastError.connectionLost(path: client.path)) { _ = try adoption.next() }
    let again = try client.adopt(service: "contract")
    try wait(for: "the connection to be offered again\(bench.beta.log)", until: .seconds(20)) {
      var entry = pollfd(fd: again.descriptorNumber, events: Int16(POLLIN), revents: 0)
      return poll(&entry, 1, 0) > 0
    }
    let adopted = try again.next()
    #expect(adopted.info.id == ends.id)
    let socket = Stream(TCPSocket(owning: adopted.takeSocket().release()))
    try ends.peer.send(Array("there".utf8))
    #expect(try socket.receive(5) == Array("there".utf8))
  }

  /// Runs `body` while this process may open nothing.
  private func withoutRoom<Result>(_ body: () throws -> Result) throws -> Result {
    let free = dup(0)
    try #require(free >= 0)
    close(free)
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let former = limit
    limit.rlim_cur = rlim_t(free)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    defer {
      limit = former
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
    return try body()
  }

  /// The last descriptors are for those who take connections, and for whoever asks what is wrong.
  @Test func aConnectionThatWouldTakeTheReserveIsNotRegistered() throws {
    let bench = try ContractBench()
    let client = try bench.alpha.control()
    let process = try #require(bench.alpha.process)
    // The client is connected when it was answered.
    #expect(refusal { try client.call("Release", ReleaseParameters(id: "1", how: "keep"), as: Nothing.self) } != nil)
    try process.limitOpenFiles(toAnother: 1 + ResourceLimits.reserve)
    _ = try bench.protected(by: client)
    let ends = try bench.connect()
    let error = #expect(throws: ControlClient.Failure.self) {
      try client.call(
        "Register", RegisterParameters(service: "contract"), descriptors: [ends.server.socket.number],
        as: RegisterResult.self)
    }
    #expect(error?.name == "io.holdfast.LimitExceeded")
    #expect(error?.description.contains("LimitNOFILE") == true, "\(error?.description ?? "")")
    // The connection is unharmed, and another client is heard.
    try ends.server.send(Array("unharmed".utf8))
    #expect(try ends.peer.receive(8) == Array("unharmed".utf8))
    #expect(try bench.alpha.connections().count == 1)
    try process.liftOpenFilesLimit()
    _ = try bench.protected(by: client)
  }
}
