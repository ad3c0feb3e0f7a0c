import Glibc
import Lab
import TCPModel
import Testing

/// One side has said its last word when the host dies: the other goes on for as long as it likes, and both streams end where
/// their applications ended them.
@Suite(.serialized)
struct HalfClosedTests {
  private let outbound = Pattern(seed: 21)
  private let inbound = Pattern(seed: 22)

  /// What both applications do around the crash, and what the capture must show of it in the end.
  private func crash(
    before: (ContractBench.Ends, ContractBench) throws -> Void, after: (Stream, Stream, AdoptResult) throws -> Void
  ) throws {
    let bench = try ContractBench()
    let capture = try bench.topology.capture(bytes: 0, filter: "tcp port \(ContractBench.port)")
    let ends = try bench.protected()
    try before(ends, bench)
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    try after(ends.peer, socket, adopted)
    // Both have read to the end: the daemon forgets the connection when the last word is acknowledged.
    try wait(for: "the connection to end", until: .seconds(30)) { try bench.beta.connections().isEmpty }
    let check = try CaptureCheck(capture.stop(), isService: { $0.port == ContractBench.port })
    #expect(check.violations == [])
    #expect(check.misplacedFins == 0)
    #expect(check.connections.map { $0.finsFromService.count } == [1])
    #expect(check.connections.map { $0.finsFromClient.count } == [1])
  }

  @Test func anAnswerGoesOnAfterTheClientHasFinished() throws {
    try crash { ends, bench in
      try ends.peer.send(inbound.bytes(0..<2000))
      try ends.peer.socket.finishWriting()
      #expect(try ends.server.receive(2000) == inbound.bytes(0..<2000))
      try ends.server.receiveEnd()
      try ends.server.send(outbound.bytes(0..<5000))
      #expect(try ends.peer.receive(5000) == outbound.bytes(0..<5000))
      try bench.wait(for: "CLOSE_WAIT", of: ends.id, on: bench.alpha) {
        $0.tcpState == "CLOSE_WAIT" && $0.consumed == 2000
      }
    } after: { peer, socket, adopted in
      #expect(adopted.connection.tcpState == "CLOSE_WAIT")
      #expect(adopted.connection.sent == 5000)
      try socket.receiveEnd()
      try socket.send(outbound.bytes(5000..<60_000))
      #expect(try peer.receive(55_000) == outbound.bytes(5000..<60_000))
      try socket.socket.finishWriting()
      try peer.receiveEnd()
    }
  }

  @Test func anUploadGoesOnAfterTheServiceHasFinished() throws {
    try crash { ends, bench in
      try ends.server.send(outbound.bytes(0..<2000))
      try ends.server.socket.finishWriting()
      #expect(try ends.peer.receive(2000) == outbound.bytes(0..<2000))
      try ends.peer.receiveEnd()
      try bench.wait(for: "FIN_WAIT2", of: ends.id, on: bench.alpha) { $0.tcpState == "FIN_WAIT2" }
    } after: { peer, socket, adopted in
      #expect(adopted.connection.sent == 2000)
      try peer.send(inbound.bytes(0..<60_000))
      #expect(try socket.receive(60_000) == inbound.bytes(0..<60_000))
      try peer.socket.finishWriting()
      try socket.receiveEnd()
    }
  }
}
