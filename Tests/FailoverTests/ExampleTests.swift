import Glibc
import Lab
import TCPModel
import Testing

/// The two programs that show how to be continued: each on both hosts, one host cut off.
@Suite(.serialized)
struct ExampleTests {
  private struct Pair {
    let topology: Topology
    let alpha: DaemonHost
    let beta: DaemonHost

    init() throws {
      topology = try Topology()
      alpha = try DaemonHost(.alpha, in: topology)
      beta = try DaemonHost(.beta, in: topology)
      try alpha.start()
      try beta.start()
      try alpha.waitUntil(role: "active", replication: "synced")
    }

    /// Starts a program on both hosts and waits until it listens.
    func start(_ program: String, _ arguments: [String], port: UInt16) throws -> [LabProcess] {
      try [alpha, beta].map { host in
        let process = try LabProcess.start(program, arguments + ["--control", host.controlPath], in: host.namespace)
        try wait(for: "\(program) to listen: \(process.standardError)", until: .seconds(20)) {
          try Tool.run("ss", ["-Htln", "sport = :\(port)"], in: host.namespace).contains("LISTEN")
        }
        return process
      }
    }

    func connect(_ port: UInt16) throws -> Stream {
      Stream(try topology.client.run { try TCPSocket.connect(to: try Endpoint(Addresses.service4, port)) })
    }
  }

  /// A client's stream, read and written with a deadline.
  private final class Stream {
    let socket: TCPSocket
    private var unread: [UInt8] = []

    init(_ socket: TCPSocket) { self.socket = socket }

    func send(_ text: String) throws {
      var rest = Array(text.utf8)[...]
      try wait(for: "room to send", until: .seconds(30)) {
        // Before it is connected it takes nothing.
        let count = (try? rest.withUnsafeBytes { try socket.write($0) }) ?? nil
        rest = rest.dropFirst(count ?? 0)
        return rest.isEmpty
      }
    }

    func receive(_ count: Int) throws -> [UInt8] {
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      try wait(for: "\(count) bytes, of which \(unread.count) came", until: .seconds(60)) {
        while unread.count < count, let read = try buffer.withUnsafeMutableBytes({ try socket.read(into: $0) }) {
          guard read > 0 else { throw LabError("the stream ended after \(unread.count) of \(count) bytes") }
          unread += buffer[..<read]
        }
        return unread.count >= count
      }
      defer { unread.removeFirst(count) }
      return Array(unread[..<count])
    }

    /// An HTTP response: its header, and its content.
    func response() throws -> (header: String, content: [UInt8]) {
      var header = ""
      while !header.hasSuffix("\r\n\r\n") { header += String(decoding: try receive(1), as: UTF8.self) }
      let length = header.split(separator: "\r\n").compactMap { line in
        line.hasPrefix("Content-Length: ") ? Int(line.dropFirst(16)) : nil
      }
      return (header, try receive(length.first ?? 0))
    }
  }

  @Test func theLineServiceLosesAndRepeatsNoLine() throws {
    let pair = try Pair()
    let script = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/docs/examples/register.py"
    let services = try pair.start("python3", [script, "--port", "7000"], port: 7000)
    let streams = try (0..<20).map { _ in try pair.connect(7000) }
    for (index, stream) in streams.enumerated() {
      try stream.send("hello \(index)\nhalf a ")
      #expect(try stream.receive(8) == Array("HELLO \(index)\n".utf8.prefix(8)))
    }
    // On some the crash comes with a burst under way, on the others while half a line waits.
    let burst = (0..<2000).map { "line \($0)" }.joined(separator: "\n") + "\n"
    for stream in streams.prefix(10) { try stream.send("line\n" + burst) }
    try pair.topology.crash(.alpha)
    for (index, stream) in streams.enumerated() {
      try stream.send(index < 10 ? "the end\n" : "line\nthe end\n")
      let expected =
        String("HELLO \(index)\n".dropFirst(8)) + "HALF A LINE\n" + (index < 10 ? burst.uppercased() : "") + "THE END\n"
      let received = try stream.receive(expected.utf8.count)
      #expect(received == Array(expected.utf8), "stream \(index)")
    }
    #expect(pair.beta.takeover?.lostConnections == 0)
    withExtendedLifetime(services) {}
  }

  @Test func theFileServerGoesOnAtAnyPointOfADialogue() throws {
    let pair = try Pair()
    let folder = try Scratch.subfolder("www")
    let content = Pattern(seed: 7).bytes(0..<(8 << 20))
    try Files.append(to: "\(folder)/file.bin") { write in try write(content) }
    let servers = try pair.start(
      Products.path(of: "holdfast-file-server"), ["--port", "8080", "--root", folder], port: 8080)
    let whole = "GET /file.bin HTTP/1.1\r\n\r\n"
    let part = "GET /file.bin HTTP/1.1\r\nRange: bytes=1000000-4999999\r\n\r\n"

    // One between two answers, one that has sent half a request, one in the middle of an answer, with the next request sent.
    let idle = try pair.connect(8080)
    let half = try pair.connect(8080)
    let busy = try pair.connect(8080)
    for stream in [idle, half] {
      try stream.send(part)
      let (header, bytes) = try stream.response()
      #expect(header.hasPrefix("HTTP/1.1 206") && bytes == Array(content[1_000_000..<5_000_000]))
    }
    try half.send(String(part.prefix(30)))
    try busy.send(whole + part)
    _ = try busy.receive(1 << 20)
    // All that was acknowledged to the clients must have been registered, or it is not protected.
    try wait(for: "three protected connections", until: .seconds(10)) {
      try pair.alpha.connections().count { $0.protected } == 3
    }
    try pair.topology.crash(.alpha)

    let header = "HTTP/1.1 200 OK\r\n"
    let preamble = try Self.preambleLength(pair)
    let rest = try busy.receive(preamble + content.count - (1 << 20))
    #expect(rest == Array(content[((1 << 20) - preamble)...]), "the answer that was under way (\(header))")
    for (stream, request) in [(busy, ""), (half, String(part.dropFirst(30))), (idle, part), (idle, whole)] {
      try stream.send(request)
      let (header, bytes) = try stream.response()
      #expect(bytes == (header.hasPrefix("HTTP/1.1 206") ? Array(content[1_000_000..<5_000_000]) : content))
    }
    #expect(pair.beta.takeover?.lostConnections == 0)
    withExtendedLifetime(servers) {}
  }

  /// What a server on the surviving host says before the whole file's bytes: the same on either host.
  private static func preambleLength(_ pair: Pair) throws -> Int {
    let stream = try pair.connect(8080)
    try stream.send("HEAD /file.bin HTTP/1.1\r\nConnection: keep-alive\r\n\r\n")
    var header: [UInt8] = []
    while !header.reversed().starts(with: Array("\n\r\n\r".utf8)) { header += try stream.receive(1) }
    return header.count
  }
}
