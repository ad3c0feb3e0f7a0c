import Glibc
import Lab
import TCPModel
import Testing

/// The examples of the Python and the C library, each on both hosts, one host cut off.
@Suite(.serialized)
struct ClientExampleTests {
  private struct Pair {
    let topology: Topology
    let alpha: DaemonHost
    let beta: DaemonHost
    var programs: [LabProcess] = []

    init(_ program: String, _ arguments: (DaemonHost) -> [String], environment: [String: String] = [:]) throws {
      topology = try Topology()
      alpha = try DaemonHost(.alpha, in: topology)
      beta = try DaemonHost(.beta, in: topology)
      try alpha.start()
      try beta.start()
      try alpha.waitUntil(role: "active", replication: "synced")
      for host in [alpha, beta] {
        let process = try LabProcess.start(program, arguments(host), in: host.namespace, environment: environment)
        programs.append(process)
        try wait(for: "\(program) to listen: \(process.standardError)", until: .seconds(20)) {
          try Tool.run("ss", ["-Htln", "sport = :7000"], in: host.namespace).contains("LISTEN")
        }
      }
    }

    func connect(_ count: Int) throws -> [Stream] {
      let streams = try (0..<count).map { _ in
        Stream(try topology.client.run { try TCPSocket.connect(to: try Endpoint(Addresses.service4, 7000)) })
      }
      try wait(for: "\(count) protected connections: \(programs.map(\.standardError))", until: .seconds(30)) {
        try alpha.connections().count { $0.protected } == count
      }
      return streams
    }
  }

  @Test func theNumberingServiceGoesOnAtItsNumber() throws {
    let source = "\(ClientLibrary.sources)/python"
    let pair = try Pair(
      "python3", { ["\(source)/example.py", "--port", "7000", "--control", $0.controlPath] },
      environment: ["PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"])
    let streams = try pair.connect(20)
    func lines(_ range: ClosedRange<Int>) -> String { range.map { "line of \($0)\n" }.joined() }
    func answers(_ range: ClosedRange<Int>) -> String { range.map { "\($0) line of \($0)\n" }.joined() }
    for (index, stream) in streams.enumerated() {
      try stream.send(Array((lines(1...10 + index) + "line ").utf8))
      let expected = answers(1...10 + index)
      #expect(try stream.receive(expected.utf8.count) == Array(expected.utf8))
    }
    // On some the crash comes with much under way.
    for stream in streams.prefix(10) { try stream.send(Array("of\n".utf8) + Array(lines(1...2000).utf8)) }
    try pair.topology.crash(.alpha)
    for (index, stream) in streams.enumerated() {
      if index >= 10 { try stream.send(Array("of\n".utf8)) }
      try stream.send(Array("the end\n".utf8))
      let next = 11 + index
      var expected = "\(next) line of\n"
      if index < 10 { for number in 1...2000 { expected += "\(next + number) line of \(number)\n" } }
      expected += "\(next + (index < 10 ? 2001 : 1)) the end\n"
      #expect(try stream.receive(expected.utf8.count) == Array(expected.utf8), "stream \(index)")
    }
    #expect(pair.beta.takeover?.lostConnections == 0)
  }

  @Test func theShiftingServiceGoesOnAtItsOffset() throws {
    let folder = try Scratch.subfolder("c-example")
    try Tool.run("make", ["-C", "\(ClientLibrary.sources)/c", "BUILD=\(folder)"])
    let pair = try Pair("\(folder)/example", { ["7000", $0.controlPath] })
    let streams = try pair.connect(10)
    let pattern = Pattern(seed: 34)
    func shifted(_ range: Range<UInt64>) -> [UInt8] {
      zip(range, pattern.bytes(range)).map { $1 &+ UInt8(truncatingIfNeeded: $0) }
    }
    for stream in streams {
      try stream.send(pattern.bytes(0..<50_000))
      #expect(try stream.receive(30_000) == shifted(0..<30_000))
    }
    try pair.topology.crash(.alpha)
    for stream in streams {
      try stream.send(pattern.bytes(50_000..<80_000))
      #expect(try stream.receive(50_000) == shifted(30_000..<80_000))
      try stream.socket.finishWriting()
      try stream.receiveEnd()
    }
    #expect(pair.beta.takeover?.lostConnections == 0)
  }
}
