import Glibc
import Lab
import TCPModel
import Testing

/// `Checkpoint`: the application's state, replicated in order with its streams.
@Suite(.serialized)
struct CheckpointTests {
  private let pattern = Pattern(seed: 14)

  private func checkpoint(
    _ id: String, _ state: [UInt8], consumed: Int? = nil, produced: Int? = nil, _ control: ControlClient
  ) throws {
    let _: Nothing = try control.call(
      "Checkpoint", CheckpointParameters(id: id, state: base64(state), consumed: consumed, produced: produced))
  }

  private func text(_ adopted: AdoptResult) throws -> String? {
    try adopted.state.map { String(decoding: try bytes(base64: $0), as: UTF8.self) }
  }

  @Test func theNewestCoveredCheckpointComesBackAndInputFromItOn() throws {
    let bench = try ContractBench()
    let control = try bench.alpha.control()
    let ends = try bench.protected(by: control)
    // With retention read, input is kept from the first checkpoint on.
    try checkpoint(ends.id, Array("start".utf8), consumed: 0, produced: 0, control)
    try ends.peer.send(pattern.bytes(0..<5000))
    #expect(try ends.server.receive(5000).count == 5000)
    try ends.server.send(pattern.bytes(0..<2000))
    #expect(try ends.peer.receive(2000).count == 2000)
    try checkpoint(ends.id, Array("old".utf8), consumed: 1000, produced: 500, control)
    try checkpoint(ends.id, Array("covered".utf8), consumed: 3000, produced: 1500, control)
    // The peer closes its window: what is written now does not leave.
    try ends.peer.socket.set(SOL_SOCKET, SO_RCVBUF, 1)
    var written = 2000
    try Lab.wait(for: "output that stays", until: .seconds(30)) {
      while let count = try pattern.bytes(UInt64(written)..<UInt64(written + 60_000)).withUnsafeBytes({
        try ends.server.socket.write($0)
      }) { written += count }
      return try bench.info(ends.id, on: bench.beta).sent < written - 50_000
    }
    try checkpoint(ends.id, Array("never covered".utf8), consumed: 5000, produced: written, control)
    try bench.wait(for: "retention from 3000", of: ends.id, on: bench.beta) { $0.consumed == 3000 }
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(try text(adopted) == "covered")
    #expect(adopted.produced == 1500 && adopted.connection.consumed == 3000 && adopted.connection.received == 5000)
    #expect(adopted.connection.sent >= 2000 && adopted.connection.sent < written)
    #expect(try socket.receive(2000) == pattern.bytes(3000..<5000))
    // The application makes its output again from 1500 on, and skips what has left.
    let again = pattern.bytes(1500..<UInt64(written) + 10).dropFirst(Int(adopted.connection.sent) - 1500)
    let peer = ends.peer
    nonisolated(unsafe) var received: [UInt8] = []
    let reader = try DedicatedThread { received = (try? peer.receive(written + 10 - 2000)) ?? [] }
    try socket.send(Array(again))
    reader.join()
    #expect(received == pattern.bytes(2000..<UInt64(written) + 10))
  }

  @Test func aWrongCheckpointIsRefusedAndTheConnectionUnharmed() throws {
    let bench = try ContractBench()
    let control = try bench.alpha.control()
    let ends = try bench.protected(retention: "confirm", by: control)
    try ends.peer.send(pattern.bytes(0..<100))
    #expect(try ends.server.receive(100).count == 100)
    try ends.server.send(pattern.bytes(0..<200))
    #expect(try ends.peer.receive(200).count == 200)
    try checkpoint(ends.id, [1], consumed: 50, produced: 150, control)
    for (consumed, produced) in [
      (49, 150), (101, 150), (50, 149), (50, 201), (-1, 150), (50, -1), (Int.max, 150), (50, Int.max), (50, Int.min),
    ] {
      let name = refusal { try checkpoint(ends.id, [2], consumed: consumed, produced: produced, control) }
      #expect(name == "io.holdfast.InvalidOffset", "\(consumed) \(produced)")
    }
    let largest = [UInt8](repeating: 3, count: Checkpoint.stateLimit)
    #expect(refusal { try checkpoint(ends.id, largest + [0], control) } == "io.holdfast.LimitExceeded")
    #expect(
      refusal {
        let _: Nothing = try control.call("Checkpoint", CheckpointParameters(id: ends.id, state: "no base64!"))
      } == "org.varlink.service.InvalidParameter")
    #expect(refusal { try checkpoint("0123456789abcdef", [1], control) } == "io.holdfast.NoSuchConnection")
    let other = try bench.protected(service: "other")
    #expect(refusal { try checkpoint(other.id, [1], control) } == "io.holdfast.PermissionDenied")
    try checkpoint(ends.id, largest, consumed: 100, produced: 200, control)
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(try bytes(base64: adopted.state ?? "") == largest)
    #expect(adopted.produced == 200 && adopted.connection.consumed == 100 && adopted.connection.sent == 200)
    try socket.send(Array("unharmed".utf8))
    #expect(try ends.peer.receive(8) == Array("unharmed".utf8))
  }

  /// Each connection makes a checkpoint and sends right after; the host is cut off in between, somewhere. Whose bytes the peer
  /// has, his checkpoint must be there. (The same, thousands of times: CheckpointOrderTests.)
  @Test func aCrashBetweenCheckpointAndSendShowsNoByteWithoutItsCheckpoint() throws {
    var shown = 0
    for round in 0..<4 {
      let bench = try ContractBench()
      let control = try bench.alpha.control()
      let all = try (0..<100).map { _ in try bench.protected(by: control) }
      let cut = try DedicatedThread {
        let connections = round * 30
        while (try? bench.beta.connections().count { $0.sent > 0 }) ?? 0 < connections {}
        _ = try? bench.topology.crash(.alpha)
      }
      for (index, ends) in all.enumerated() {
        // The daemon dies with its host.
        guard (try? checkpoint(ends.id, Array("\(index)".utf8), consumed: 0, produced: 0, control)) != nil else {
          break
        }
        _ = try? Array("\(index)\n".utf8).withUnsafeBytes { try ends.server.socket.write($0) }
      }
      cut.join()
      let adopter = try bench.beta.control()
      try adopter.send("Adopt", AdoptParameters(service: "contract"), more: true)
      var states: [String: AdoptResult] = [:]
      var sockets: [TCPSocket] = []
      for _ in all {
        let adopted: AdoptResult = try adopter.receive()
        sockets.append(TCPSocket(owning: try adopter.takeDescriptor(adopted.fd)))
        states[adopted.connection.id] = adopted
      }
      for (index, ends) in all.enumerated() {
        let adopted = try #require(states[ends.id])
        let received = try ends.peer.available()
        if !received.isEmpty {
          shown += 1
          #expect(try text(adopted) == "\(index)")
        }
        #expect(adopted.connection.sent >= received.count)
        if adopted.connection.sent > 0 { #expect(try text(adopted) == "\(index)") }
      }
      withExtendedLifetime(sockets) {}
    }
    #expect(shown >= 90)
  }
}
