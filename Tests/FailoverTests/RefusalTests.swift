import Glibc
import Lab
import TCPModel
import Testing

/// What the daemon refuses, and that it does so without harm: to itself, to the socket, and to other connections.
@Suite(.serialized)
struct RefusalTests {
  /// A pair with protected traffic, and a listener on alpha whose connections the test registers itself.
  private final class Bench {
    let streams: FailureDetectionTests.Streams
    let listener: TCPSocket
    let own: TCPSocket
    var pair: ProtectedPair { streams.pair }
    private let descriptors: [String]

    init() throws {
      streams = try FailureDetectionTests.Streams()
      let pair = streams.pair
      listener = try pair.alpha.namespace.run { try TCPSocket.listen(on: Endpoint(Addresses.service4, 7300)) }
      own = try pair.alpha.namespace.run { try TCPSocket.listen(on: Endpoint(Addresses.alpha, 7301)) }
      descriptors = try Bench.openDescriptors(pair)
    }

    private static func openDescriptors(_ pair: ProtectedPair) throws -> [String] {
      let daemon = try #require(pair.alpha.process)
      return Files.list("/proc/\(daemon.pid)/fd").compactMap { Files.target(ofLink: "/proc/\(daemon.pid)/fd/\($0)") }
    }

    /// Both ends of a new connection.
    func connect(to listener: TCPSocket) throws -> (service: TCPSocket, client: TCPSocket) {
      let endpoint = try #require(listener.localEndpoint)
      let client = try pair.topology.client.run { try TCPSocket.connect(to: endpoint) }
      var accepted: TCPSocket?
      try wait(for: "a connection", until: .seconds(10)) {
        accepted = try listener.accept()
        return accepted != nil
      }
      return (try #require(accepted), client)
    }

    @discardableResult
    func register(_ descriptor: Int32) throws -> RegisterResult {
      try pair.alpha.control().call("Register", RegisterParameters(service: "test"), descriptors: [descriptor])
    }

    /// Why a descriptor is refused.
    func refusal(_ descriptor: Int32, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
      do {
        try register(descriptor)
        Issue.record("it was registered", sourceLocation: sourceLocation)
        return ""
      } catch let failure as ControlClient.Failure { return failure.description }
    }

    /// All that was there before goes on, the daemon holds nothing more than before, and the other host can still take over.
    func expectNoHarm(sourceLocation: SourceLocation = #_sourceLocation) throws {
      var more: [String] = []
      try wait(for: "the daemon to let go of what it was given: \(more)", until: .seconds(10)) {
        // Who hangs up before the answer may have registered its socket: that is no error.
        for connection in try pair.alpha.connections() where connection.service == "test" {
          let _: Nothing = try pair.alpha.control().call("Release", ReleaseParameters(id: connection.id, how: "keep"))
        }
        more = try Bench.openDescriptors(pair).filter { !descriptors.contains($0) }
        return more.isEmpty
      }
      #expect(try pair.alpha.connections().count == 6, sourceLocation: sourceLocation)
      try streams.goOn()
      try streams.crash(.alpha)
      try expectNone(streams.end(), sourceLocation: sourceLocation)
    }
  }

  @Test func socketsThatCannotBeProtectedAreRefusedWithTheReason() throws {
    let bench = try Bench()
    let namespace = bench.pair.alpha.namespace
    let file = open("/dev/null", O_RDONLY)
    defer { close(file) }
    #expect(try bench.refusal(file).contains("not a socket"))
    let raw = { (type: Int32, transport: Int32) in try namespace.run { socket(AF_INET, type, transport) } }
    let sockets: [(Int32, String)] = [
      (try raw(Int32(SOCK_DGRAM.rawValue), 0), "not a TCP socket"),
      (try raw(Int32(SOCK_STREAM.rawValue), 0), "not connected"),
      // IPPROTO_MPTCP
      (try raw(Int32(SOCK_STREAM.rawValue), 262), "Multipath TCP"),
      (socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0), "neither an IPv4 nor an IPv6 socket"),
    ]
    for (number, reason) in sockets {
      #expect(number >= 0)
      #expect(try bench.refusal(number).contains(reason))
      close(number)
    }
    #expect(try bench.refusal(bench.listener.number).contains("listening"))
    do {
      let (service, client) = try bench.connect(to: bench.own)
      let refusal = try bench.refusal(service.number)
      #expect(refusal.contains("io.holdfast.AddressNotServed") && refusal.contains(Addresses.alpha))
      // A refused socket is as it was.
      try expectEcho(service, client)
    }
    do {
      let (service, client) = try bench.connect(to: bench.listener)
      let result = try bench.register(service.number)
      #expect(result.protected)
      let refusal = try bench.refusal(service.number)
      #expect(refusal.contains("io.holdfast.AlreadyRegistered") && refusal.contains(result.id))
      try expectEcho(service, client)
      let _: Nothing = try bench.pair.alpha.control().call("Release", ReleaseParameters(id: result.id, how: "reset"))
    }
    // The standby has no connections of its own.
    do {
      let (service, _) = try bench.connect(to: bench.listener)
      let failure = #expect(throws: ControlClient.Failure.self) {
        let _: RegisterResult = try bench.pair.beta.control().call(
          "Register", RegisterParameters(service: "test"), descriptors: [service.number])
      }
      #expect(failure.map { $0.name.hasPrefix("io.holdfast.") } == true, "\(failure?.description ?? "")")
    }
    try bench.expectNoHarm()
  }

  @Test func messagesThatMakeNoSenseAreAnsweredWithAnErrorOrTheEnd() throws {
    let bench = try Bench()
    let control = { try bench.pair.alpha.control() }
    let register = Array(#"{"method":"io.holdfast.Register","parameters":{"fd":0,"service":"test"}}"#.utf8)
    let (service, client) = try bench.connect(to: bench.listener)

    let missing = #expect(throws: ControlClient.Failure.self) {
      let _: RegisterResult = try control().call("Register", RegisterParameters(service: "test"))
    }
    #expect(missing?.name == "org.varlink.service.InvalidParameter" && missing?.description.contains("fd") == true)

    let unknown = #expect(throws: ControlClient.Failure.self) {
      let _: Nothing = try control().call("Explode", Nothing(), descriptors: [service.number])
    }
    #expect(unknown?.name == "org.varlink.service.MethodNotFound")

    for text in [
      "{", "[]", "17", #"{"method":7}"#, #"{"parameters":{}}"#, "\u{1}\u{2}", "{\"method\":\"io.holdfast.\u{0}",
    ] {
      let client = try control()
      try client.send(raw: Array(text.utf8) + [0], descriptors: [service.number])
      expectErrorOrEnd(client, text)
    }
    do {
      let long = try control()
      let filler = [UInt8](repeating: UInt8(ascii: "x"), count: 2 << 20)
      try long.send(raw: Array(#"{"method":"io.holdfast.GetStatus","parameters":{"x":""#.utf8) + filler + [0])
      expectErrorOrEnd(long, "2 MiB")
      // Whoever has said too much may go on.
      let status: DaemonStatus = try long.call("GetStatus", Nothing())
      #expect(status.node == "alpha")
      let endless = try control()
      try endless.send(raw: [UInt8](repeating: UInt8(ascii: "["), count: 2 << 20))
      expectErrorOrEnd(endless, "2 MiB without an end")
    }

    // Those who hang up: in the middle of a message, before the answer, and while they wait for connections.
    for message in [Array(register.prefix(20)), register + [0]] {
      let gone = try control()
      try gone.send(raw: message, descriptors: [service.number])
    }
    try control().send("Adopt", AdoptParameters(service: "pattern"), more: true)
    try expectEcho(service, client)
    let status = try bench.pair.alpha.status()
    #expect(status.node == "alpha" && status.pairs.first?.replication == "synced")
    try bench.expectNoHarm()
  }

  private func expectErrorOrEnd(_ client: ControlClient, _ what: String) {
    do {
      let reply = String(decoding: try client.receiveMessage(), as: UTF8.self)
      #expect(reply.contains(#""error""#), "\(what): \(reply.prefix(200))")
    } catch {
      #expect("\(error)".contains("closed") || "\(error)".contains("reset"), "\(what): \(error)")
    }
  }

  /// Bytes go both ways.
  private func expectEcho(_ service: TCPSocket, _ client: TCPSocket) throws {
    for (from, to) in [(service, client), (client, service)] {
      let bytes = Array("still here".utf8)
      try wait(for: "room", until: .seconds(10)) { try bytes.withUnsafeBytes { try from.write($0) } == bytes.count }
      var buffer = [UInt8](repeating: 0, count: 64)
      var count = 0
      try wait(for: "the bytes", until: .seconds(10)) {
        count = try buffer.withUnsafeMutableBytes { try to.read(into: $0) } ?? 0
        return count > 0
      }
      #expect(Array(buffer[..<count]) == bytes)
    }
  }
}
