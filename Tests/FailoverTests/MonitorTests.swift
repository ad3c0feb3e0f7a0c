import Glibc
import Lab
import Testing

/// Who reads a daemon's events, and how fast.
@Suite(.serialized)
struct MonitorTests {
  private struct Monitored: Decodable {
    struct Event: Decodable {
      var kind: String
      var connection: String?
    }
    var event: Event
  }

  @Test func whoDoesNotReadIsLetGoAndTheOthersHearOn() throws {
    let bench = try ContractBench()
    let (lazy, diligent) = (try bench.alpha.control(), try bench.alpha.control())
    for monitor in [lazy, diligent] { try monitor.send("Monitor", Nothing(), more: true) }
    #expect(try bench.alpha.status().pairs.count == 1)
    let control = try bench.alpha.control()
    let ends = try (0..<50).map { _ in try bench.connect() }
    // 16,000 events, two of them for each connection and round: twice what the lazy one may be behind.
    nonisolated(unsafe) let reader = diligent
    nonisolated(unsafe) var heard = 0
    nonisolated(unsafe) var last: String?
    let listening = try DedicatedThread {
      while let event = try? reader.receive(as: Monitored.self).event {
        heard += 1
        if event.kind == "ended" || event.kind == "released", event.connection == last { return }
      }
    }
    for _ in 0..<160 {
      for end in ends {
        try control.send("Register", RegisterParameters(service: "many"), descriptors: [end.server.socket.number])
      }
      var ids: [String] = []
      for _ in ends { ids.append((try control.receive() as RegisterResult).id) }
      for id in ids { try control.send("Release", ReleaseParameters(id: id, how: "keep")) }
      for _ in ids { let _: Nothing = try control.receive() }
    }
    // Nothing of it cost the daemon more than it allows: what there is for the lazy one is a bounded number of bytes, and an error.
    var bytes = 0
    while true {
      let message = try lazy.receiveMessage()
      bytes += message.count
      if String(decoding: message, as: UTF8.self).contains("io.holdfast.LimitExceeded") { break }
    }
    #expect(bytes > 1 << 20 && bytes < 4 << 20, "\(bytes) bytes")
    let final = try bench.protected(by: control)
    last = final.id
    let _: Nothing = try control.call("Release", ReleaseParameters(id: final.id, how: "reset"))
    listening.join()
    #expect(heard > 5000, "\(heard) events")
  }
}
