import Glibc
import Lab
import LinuxNetwork
import SystemCalls
import TCPModel
import Testing

/// Registration in bulk, limits, and the stream of events, at a real daemon.
@Suite(.serialized)
struct ControlContractTests {
  private struct Monitored: Decodable {
    struct Event: Decodable {
      var kind: String
      var pair: String?
      var connection: String?
      var message: String
    }
    var event: Event
  }

  @Test func tenThousandConnectionsAreRegisteredWithoutWaitingForEach() throws {
    try ResourceLimits.raiseDescriptors()
    let bench = try ContractBench()
    let count = 10_000
    // In a process of their own: two descriptors for each connection are more than one may have everywhere.
    let script = """
      import resource, signal, socket
      limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
      resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
      peers = [socket.create_connection(("\(Addresses.service4)", \(ContractBench.port))) for _ in range(\(count))]
      signal.pause()
      """
    let peers = try LabProcess.start("python3", ["-c", script], in: bench.topology.client)
    let servers = try bench.accept(count)
    let control = try bench.alpha.control()
    let start = monotonicNow()
    let sender = try DedicatedThread {
      for server in servers {
        try? control.send(
          "Register", RegisterParameters(service: "many", retention: "confirm"), descriptors: [server.number])
      }
    }
    var registered: Set<String> = []
    for _ in servers {
      let result: RegisterResult = try control.receive()
      if result.protected { registered.insert(result.id) }
    }
    sender.join()
    print("\(count) connections registered in \((monotonicNow() - start) / 1_000_000) ms")
    #expect(registered.count == count)
    #expect(try bench.beta.connections().count == count)
    withExtendedLifetime(peers) {}
  }

  @Test func aServiceHasItsLimit() throws {
    var options = DaemonHost.Options()
    options.more = "[[service]]\nname = \"small\"\nconnections = 2"
    let bench = try ContractBench(options)
    let control = try bench.alpha.control()
    let all = try (0..<3).map { _ in try bench.connect() }
    func register(_ ends: ContractBench.Ends, _ service: String) throws -> String {
      let result: RegisterResult = try control.call(
        "Register", RegisterParameters(service: service), descriptors: [ends.server.socket.number])
      return result.id
    }
    let first = try register(all[0], "small")
    _ = try register(all[1], "small")
    let failure = #expect(throws: ControlClient.Failure.self) { _ = try register(all[2], "small") }
    #expect(failure?.name == "io.holdfast.LimitExceeded")
    #expect(failure?.description.contains("service.connections") == true)
    _ = try register(all[2], "large")
    // Room again.
    let _: Nothing = try control.call("Release", ReleaseParameters(id: first, how: "keep"))
    _ = try register(all[0], "small")
  }

  @Test func aUserHasALimitAndNoSayInAnothersConnections() throws {
    var options = DaemonHost.Options.patient
    options.node = "connections_per_user = 2"
    let bench = try ContractBench(options)
    let root = try bench.alpha.control()
    let kept = try bench.protected(by: root)
    let other = try bench.client(ofUser: 65534)
    let theirs = try bench.protected(by: other)
    _ = try bench.protected(by: other)
    let unlucky = try bench.connect()
    func register() throws {
      let _: RegisterResult = try other.call(
        "Register", RegisterParameters(service: "contract"), descriptors: [unlucky.server.socket.number])
    }
    let failure = #expect(throws: ControlClient.Failure.self) { try register() }
    #expect(failure?.name == "io.holdfast.LimitExceeded")
    #expect(failure?.description.contains("node.connections_per_user") == true)
    // It is one user's, not everybody's.
    _ = try bench.protected(by: root)
    // Of the same service, and yet not theirs.
    let calls: [(String, any Encodable & Sendable)] = [
      ("Confirm", ConfirmParameters(id: kept.id, consumed: 0)),
      ("Checkpoint", CheckpointParameters(id: kept.id, state: "")),
      ("Release", ReleaseParameters(id: kept.id, how: "reset")),
    ]
    for (method, parameters) in calls {
      func call(_ parameters: some Encodable) -> String? {
        refusal { let _: Nothing = try other.call(method, parameters) }
      }
      #expect(call(parameters) == "io.holdfast.PermissionDenied", "\(method)")
    }
    try kept.server.send(Array("unharmed".utf8))
    #expect(try kept.peer.receive(8) == Array("unharmed".utf8))
    // Root may do everything; and then there is room again.
    let _: Nothing = try root.call("Release", ReleaseParameters(id: theirs.id, how: "keep"))
    try register()
  }

  @Test func whoMonitorsIsToldWhatHappens() throws {
    let bench = try ContractBench()
    let monitors = try [bench.alpha, bench.beta].map { try $0.control() }
    for monitor in monitors { try monitor.send("Monitor", Nothing(), more: true) }
    // The call is taken before what follows on other connections.
    try wait(for: "the monitors", until: .seconds(10)) { try bench.alpha.status().pairs.count == 1 }
    let kept = try bench.protected()
    let released = try bench.protected()
    let _: Nothing = try bench.alpha.control().call("Release", ReleaseParameters(id: released.id, how: "reset"))
    func next(_ monitor: ControlClient, _ kind: String) throws -> Monitored.Event {
      while true {
        let event = try monitor.receive(as: Monitored.self).event
        if event.kind == kind { return event }
      }
    }
    #expect(try next(monitors[0], "registered").connection == kept.id)
    #expect(try next(monitors[0], "registered").connection == released.id)
    let event = try next(monitors[0], "released")
    #expect(event.connection == released.id && event.pair == "web")
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(adopted.connection.id == kept.id)
    #expect(try next(monitors[1], "role").message.hasPrefix("active"))
    #expect(try next(monitors[1], "adopted").connection == kept.id)
    try socket.socket.finishWriting()
    try kept.peer.socket.finishWriting()
    #expect(try next(monitors[1], "ended").connection == kept.id)
  }
}
