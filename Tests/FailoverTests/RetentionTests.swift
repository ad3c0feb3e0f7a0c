import Glibc
import Lab
import TCPModel
import Testing

/// Retention `confirm`: input counts as consumed when the application says so, and comes again until then.
@Suite(.serialized)
struct RetentionTests {
  private let pattern = Pattern(seed: 15)

  private func confirm(_ id: String, _ consumed: Int, _ control: ControlClient) throws {
    let _: Nothing = try control.call("Confirm", ConfirmParameters(id: id, consumed: consumed))
  }

  @Test func inputThatIsNotConfirmedIsPresentedAgain() throws {
    let bench = try ContractBench()
    let control = try bench.alpha.control()
    let ends = try bench.protected(retention: "confirm", by: control)
    try ends.peer.send(pattern.bytes(0..<10_000))
    #expect(try ends.server.receive(10_000) == pattern.bytes(0..<10_000))
    try ends.server.send(Array("read it all".utf8))
    #expect(try ends.peer.receive(11) == Array("read it all".utf8))
    try confirm(ends.id, 4000, control)
    // Both hosts hold what was read and not confirmed.
    for host in [bench.alpha, bench.beta] {
      try bench.wait(for: "consumed 4000 on \(host.name)", of: ends.id, on: host) {
        $0.consumed == 4000 && $0.received == 10_000 && $0.protected
      }
    }
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(adopted.connection.consumed == 4000 && adopted.connection.received == 10_000)
    #expect(adopted.connection.sent == 11)
    #expect(try socket.receive(6000) == pattern.bytes(4000..<10_000))
    try ends.peer.send(pattern.bytes(10_000..<12_000))
    #expect(try socket.receive(2000) == pattern.bytes(10_000..<12_000))
    try confirm(ends.id, 12_000, bench.beta.control())
    #expect(try bench.info(ends.id, on: bench.beta).consumed == 12_000)
    try socket.send(Array("done".utf8))
    #expect(try ends.peer.receive(4) == Array("done".utf8))
  }

  @Test func aWrongOffsetIsRefusedAndTheConnectionUnharmed() throws {
    let bench = try ContractBench()
    let control = try bench.alpha.control()
    let ends = try bench.protected(retention: "confirm", by: control)
    try ends.peer.send(pattern.bytes(0..<1000))
    #expect(try ends.server.receive(1000).count == 1000)
    try confirm(ends.id, 600, control)
    for wrong in [599, 0, -1, 1001, 1 << 31, 1 << 40, Int.max, Int.min] {
      #expect(refusal { try confirm(ends.id, wrong, control) } == "io.holdfast.InvalidOffset", "\(wrong)")
    }
    // Saying it again is no mistake.
    try confirm(ends.id, 600, control)
    for id in ["0123456789abcdef", "", "600", "zzzzzzzzzzzzzzzz"] {
      #expect(refusal { try confirm(id, 600, control) } == "io.holdfast.NoSuchConnection", "\(id)")
    }
    let reading = try bench.protected(service: "reading")
    #expect(refusal { try confirm(reading.id, 0, bench.alpha.control()) } == "io.holdfast.InvalidOffset")
    // A client that has named its service does not reach into another.
    #expect(refusal { try confirm(reading.id, 0, control) } == "io.holdfast.PermissionDenied")
    #expect(
      refusal {
        let _: Nothing = try control.call("Release", ReleaseParameters(id: reading.id, how: "reset"))
      } == "io.holdfast.PermissionDenied")
    #expect(try bench.info(ends.id, on: bench.alpha).consumed == 600)
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(adopted.connection.consumed == 600)
    #expect(try socket.receive(400) == pattern.bytes(600..<1000))
    let (_, other) = try bench.adopt("reading", on: bench.beta)
    for (peer, server) in [(ends.peer, socket), (reading.peer, other)] {
      try server.send(Array("unharmed".utf8))
      #expect(try peer.receive(8) == Array("unharmed".utf8))
    }
  }

  /// The receive window does not bound what an application reads and does not confirm; the limit does.
  @Test func unconfirmedInputIsBoundedAndRestoredWhole() throws {
    let bench = try ContractBench()
    let control = try bench.alpha.control()
    let ends = try bench.protected(retention: "confirm", by: control)
    let limit = Ledger.retentionLimit
    let total = limit + (4 << 20)
    let peer = ends.peer
    let pattern = pattern
    let writer = try DedicatedThread { try? peer.send(pattern.bytes(0..<UInt64(total))) }
    var read = 0
    try Lab.wait(for: "nearly \(limit) bytes", until: .seconds(60)) {
      read += try ends.server.available().count
      return read > limit - (1 << 17)
    }
    try bench.wait(for: "the standby to hold as much", of: ends.id, on: bench.beta) {
      $0.received > limit - (1 << 17) && $0.protected
    }
    let held = try bench.info(ends.id, on: bench.alpha)
    #expect(held.consumed == 0 && held.received <= UInt64(limit))
    // Confirming makes room, and the peer's retransmission fills it.
    try confirm(ends.id, 1 << 20, control)
    try bench.wait(for: "more input", of: ends.id, on: bench.alpha) { $0.received > UInt64(limit) }
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(adopted.connection.consumed == 1 << 20)
    let beta = try bench.beta.control()
    var offset = UInt64(1 << 20)
    while offset < UInt64(total) {
      let count = min(1 << 20, total - Int(offset))
      #expect(try socket.receive(count) == pattern.bytes(offset..<offset + UInt64(count)), "from \(offset)")
      offset += UInt64(count)
      try confirm(ends.id, Int(offset), beta)
    }
    writer.join()
    try socket.send(Array("all".utf8))
    #expect(try ends.peer.receive(3) == Array("all".utf8))
  }
}
