import Glibc
import Lab
import Synchronization
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
    // The daemon reports some thousand events a second at most: as many seconds go by until the lazy one is too far behind.
    nonisolated(unsafe) let reader = diligent
    let heard = Atomic(0)
    let isLast = Atomic(false)
    let isDone = Atomic(false)
    let listening = try DedicatedThread {
      while (try? reader.receive(as: Monitored.self)) != nil {
        heard.add(1, ordering: .relaxed)
        if isLast.load(ordering: .relaxed) { break }
      }
      isDone.store(true, ordering: .relaxed)
    }
    try wait(for: "two megabytes of events", until: .seconds(60), every: 0) {
      for end in ends {
        try control.send("Register", RegisterParameters(service: "many"), descriptors: [end.server.socket.number])
      }
      var ids: [String] = []
      for _ in ends { ids.append((try control.receive() as RegisterResult).id) }
      for id in ids { try control.send("Release", ReleaseParameters(id: id, how: "keep")) }
      for _ in ids { let _: Nothing = try control.receive() }
      return heard.load(ordering: .relaxed) > 14_000
    }
    // Nothing of it cost the daemon more than it allows: what there is for the lazy one is a bounded number of bytes, and an error.
    var bytes = 0
    while true {
      let message = try lazy.receiveMessage()
      bytes += message.count
      if String(decoding: message, as: UTF8.self).contains("io.holdfast.LimitExceeded") { break }
    }
    #expect(bytes > 1 << 20 && bytes < 4 << 20, "\(bytes) bytes")
    // And the other one hears what happens afterwards.
    isLast.store(true, ordering: .relaxed)
    try wait(for: "the diligent one to hear on", until: .seconds(20)) {
      let another = try bench.protected(by: control)
      let _: Nothing = try control.call("Release", ReleaseParameters(id: another.id, how: "reset"))
      return isDone.load(ordering: .relaxed)
    }
    listening.join()
    #expect(heard.load(ordering: .relaxed) > 14_000)
  }
}
