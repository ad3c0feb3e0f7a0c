import Glibc
import Lab
import TCPModel
import Testing

/// Calls that cannot be right: each ends with an error of the interface, and connection and client go on as if it had not been made.
@Suite(.serialized)
struct WrongCallTests {
  private func name(_ control: ControlClient, _ call: String) throws -> String? {
    try control.send(raw: Array(call.utf8) + [0])
    return refusal { let _: Nothing = try control.receive() }
  }

  /// Bytes go both ways.
  private func expectGoesOn(_ ends: ContractBench.Ends, sourceLocation: SourceLocation = #_sourceLocation) throws {
    for (from, to) in [(ends.server, ends.peer), (ends.peer, ends.server)] {
      try from.send(Array("still here".utf8))
      #expect(try to.receive(10) == Array("still here".utf8), sourceLocation: sourceLocation)
    }
  }

  @Test func numbersThatAreNoOffsetsAreRefused() throws {
    let bench = try ContractBench(.patient)
    let control = try bench.alpha.control()
    let ends = try bench.protected(retention: "confirm", by: control)
    let numbers = [
      "9223372036854775808", "-9223372036854775809", "123456789012345678901234567890", "1e30", "1e400", "-1e400", "0.5",
      #""5""#, "true", "[]", "{}",
    ]
    for number in numbers {
      for call in [
        #"{"method":"io.holdfast.Confirm","parameters":{"id":"\#(ends.id)","consumed":\#(number)}}"#,
        #"{"method":"io.holdfast.Checkpoint","parameters":{"id":"\#(ends.id)","state":"","consumed":\#(number)}}"#,
        #"{"method":"io.holdfast.Checkpoint","parameters":{"id":"\#(ends.id)","state":"","produced":\#(number)}}"#,
      ] { #expect(try name(control, call) == "org.varlink.service.InvalidParameter", "\(call)") }
    }
    for number in ["-1", "1", "4294967296", "9223372036854775807", "-9223372036854775808"] {
      for call in [
        #"{"method":"io.holdfast.Confirm","parameters":{"id":"\#(ends.id)","consumed":\#(number)}}"#,
        #"{"method":"io.holdfast.Checkpoint","parameters":{"id":"\#(ends.id)","state":"","consumed":\#(number)}}"#,
        #"{"method":"io.holdfast.Checkpoint","parameters":{"id":"\#(ends.id)","state":"","produced":\#(number)}}"#,
      ] { #expect(try name(control, call) == "io.holdfast.InvalidOffset", "\(call)") }
    }
    // An offset is needed where the call is about nothing else, and a name is its sixteen digits.
    #expect(
      try name(control, #"{"method":"io.holdfast.Confirm","parameters":{"id":"\#(ends.id)"}}"#)
        == "org.varlink.service.InvalidParameter")
    for id in ["+\(ends.id.dropFirst())", "-\(ends.id.dropFirst())", "0x\(ends.id.dropFirst(2))", ends.id + "0"] {
      #expect(
        try name(control, #"{"method":"io.holdfast.Confirm","parameters":{"id":"\#(id)","consumed":0}}"#)
          == "io.holdfast.NoSuchConnection", "\(id)")
    }
    try expectGoesOn(ends)
    let _: Nothing = try control.call("Confirm", ConfirmParameters(id: ends.id, consumed: 10))
    let _: Nothing = try control.call(
      "Checkpoint", CheckpointParameters(id: ends.id, state: "", consumed: 10, produced: 10))
    #expect(try bench.info(ends.id, on: bench.alpha).consumed == 10)
    try bench.wait(for: "the standby to know", of: ends.id, on: bench.beta) { $0.consumed == 10 && $0.protected }
  }

  /// A FIN takes a sequence number, and the kernel's counters count it. It is no byte of the stream.
  @Test func theEndOfAStreamIsNoByteOfIt() throws {
    let bench = try ContractBench(.patient)
    let control = try bench.alpha.control()
    func expectLast(_ ends: ContractBench.Ends, consumed: Int, produced: Int, _ state: String) throws {
      try bench.wait(for: state, of: ends.id, on: bench.alpha) { $0.tcpState == state }
      #expect(
        refusal {
          let _: Nothing = try control.call("Confirm", ConfirmParameters(id: ends.id, consumed: consumed + 1))
        } == "io.holdfast.InvalidOffset", "consumed in \(state)")
      for (consumed, produced) in [(consumed + 1, produced), (consumed, produced + 1)] {
        #expect(
          refusal {
            let _: Nothing = try control.call(
              "Checkpoint",
              CheckpointParameters(id: ends.id, state: base64([1]), consumed: consumed, produced: produced))
          } == "io.holdfast.InvalidOffset", "\(consumed), \(produced) in \(state)")
      }
      let _: Nothing = try control.call("Confirm", ConfirmParameters(id: ends.id, consumed: consumed))
      let _: Nothing = try control.call(
        "Checkpoint", CheckpointParameters(id: ends.id, state: base64([2]), consumed: consumed, produced: produced))
    }
    // Ours ends first.
    let first = try bench.protected(retention: "confirm", by: control)
    try first.server.send(Array("bye".utf8))
    try first.server.socket.finishWriting()
    #expect(try first.peer.receive(3) == Array("bye".utf8))
    try first.peer.receiveEnd()
    try expectLast(first, consumed: 0, produced: 3, "FIN_WAIT2")
    try first.peer.send(Array("more".utf8))
    #expect(try first.server.receive(4) == Array("more".utf8))
    try expectLast(first, consumed: 4, produced: 3, "FIN_WAIT2")
    try first.peer.socket.finishWriting()
    try first.server.receiveEnd()
    try expectLast(first, consumed: 4, produced: 3, "CLOSE")
    // The peer's does.
    let second = try bench.protected(retention: "confirm", by: control)
    try second.peer.send(Array("bye".utf8))
    try second.peer.socket.finishWriting()
    #expect(try second.server.receive(3) == Array("bye".utf8))
    try second.server.receiveEnd()
    try expectLast(second, consumed: 3, produced: 0, "CLOSE_WAIT")
    try second.server.send(Array("answer".utf8))
    #expect(try second.peer.receive(6) == Array("answer".utf8))
    try expectLast(second, consumed: 3, produced: 6, "CLOSE_WAIT")
    try second.server.socket.finishWriting()
    try second.peer.receiveEnd()
    try expectLast(second, consumed: 3, produced: 6, "CLOSE")
    // Both come back with what was said of them last.
    try bench.topology.crash(.alpha)
    let adopter = try bench.beta.control()
    try adopter.send("Adopt", AdoptParameters(service: "contract"), more: true)
    var adopted: [String: AdoptResult] = [:]
    for _ in 0..<2 {
      let result: AdoptResult = try adopter.receive()
      close(try adopter.takeDescriptor(result.fd))
      adopted[result.connection.id] = result
    }
    #expect(adopted[first.id]?.connection.consumed == 4 && adopted[first.id]?.produced == 3)
    #expect(adopted[second.id]?.connection.consumed == 3 && adopted[second.id]?.produced == 6)
    #expect(try adopted.values.allSatisfy { try bytes(base64: $0.state ?? "") == [2] })
  }

  @Test func whatIsTooLargeIsRefusedAndTheClientGoesOn() throws {
    let bench = try ContractBench(.patient)
    let control = try bench.alpha.control()
    let ends = try bench.protected(by: control)
    // The state alone is too long, or the whole call is, which is skipped as it comes.
    for size in [Checkpoint.stateLimit + 1, 1 << 20, 4 << 20] {
      let state = base64([UInt8](repeating: 7, count: size))
      #expect(
        refusal {
          let _: Nothing = try control.call("Checkpoint", CheckpointParameters(id: ends.id, state: state))
        } == "io.holdfast.LimitExceeded", "\(size)")
      try expectGoesOn(ends)
    }
    let long = String(repeating: "k", count: 4097)
    let other = try bench.connect()
    #expect(
      refusal {
        let _: RegisterResult = try control.call(
          "Register", RegisterParameters(service: "contract", key: long), descriptors: [other.server.socket.number])
      } == "io.holdfast.LimitExceeded")
    try expectGoesOn(other)
    let _: Nothing = try control.call("Checkpoint", CheckpointParameters(id: ends.id, state: base64([1])))
    try bench.wait(for: "protection", of: ends.id, on: bench.beta) { $0.protected }
  }

  @Test func aReleaseOrAdoptionThatCannotBeRightChangesNothing() throws {
    let bench = try ContractBench(.patient)
    let control = try bench.alpha.control()
    let ends = try bench.protected(by: control)
    let others = try bench.protected(service: "other")
    func release(_ id: String, _ how: String) -> String? {
      refusal { let _: Nothing = try control.call("Release", ReleaseParameters(id: id, how: how)) }
    }
    #expect(release(ends.id, "explode") == "org.varlink.service.InvalidParameter")
    #expect(release("0123456789abcdef", "reset") == "io.holdfast.NoSuchConnection")
    for how in ["keep", "close", "reset"] { #expect(release(others.id, how) == "io.holdfast.PermissionDenied") }
    for service in ["", String(repeating: "s", count: 65)] {
      let adopter = try bench.alpha.control()
      try adopter.send("Adopt", AdoptParameters(service: service), more: true)
      #expect(refusal { let _: AdoptResult = try adopter.receive() } == "io.holdfast.NoSuchService")
      #expect(
        refusal {
          let _: RegisterResult = try adopter.call(
            "Register", RegisterParameters(service: service), descriptors: [ends.server.socket.number])
        } == "io.holdfast.NoSuchService")
      // Neither has taken the client's turn: it is answered still.
      #expect(
        refusal { let _: AdoptResult = try adopter.call("Adopt", AdoptParameters(service: "contract")) }
          == "org.varlink.service.ExpectedMore")
      let list: ConnectionList = try adopter.call("ListConnections", Nothing())
      #expect(list.connections.count == 2)
    }
    for number in [-1, 1, Int.max, Int.min] {
      var parameters = RegisterParameters(service: "contract")
      parameters.fd = number
      #expect(
        refusal {
          let _: RegisterResult = try control.call(
            "Register", parameters, descriptors: [ends.server.socket.number])
        } == "org.varlink.service.InvalidParameter")
    }
    try expectGoesOn(ends)
    try expectGoesOn(others)
    // What was released once is nobody's, goes on, and may be registered again.
    #expect(release(ends.id, "keep") == nil)
    for how in ["keep", "close", "reset"] { #expect(release(ends.id, how) == "io.holdfast.NoSuchConnection") }
    try expectGoesOn(ends)
    let again: RegisterResult = try control.call(
      "Register", RegisterParameters(service: "contract"), descriptors: [ends.server.socket.number])
    #expect(again.protected && again.id != ends.id)
    try bench.topology.crash(.alpha)
    // Whoever adopts for one service gets its connections and no other's.
    for (id, service, peer) in [(again.id, "contract", ends.peer), (others.id, "other", others.peer)] {
      let (adopted, socket) = try bench.adopt(service, on: bench.beta)
      #expect(adopted.connection.id == id)
      try expectGoesOn(ContractBench.Ends(peer: peer, server: socket))
    }
  }
}

extension DaemonHost.Options {
  /// For tests that are not about how soon a death is noticed: a small machine that is busy must not look like a dead host.
  static var patient: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.deadAfter = "2s"
    options.exposeAfter = "3s"
    return options
  }
}
