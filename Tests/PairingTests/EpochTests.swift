import Pairing
import Testing

/// Numbers from outside that are no epochs, and the last one that is.
@Suite struct EpochTests {
  @Test func whatIsNoEpochIsRefused() throws {
    for epoch in [Epoch.limit, .max - 1, .max] {
      var heartbeat = HeartbeatTests.sample
      heartbeat.epoch = epoch
      #expect(throws: HeartbeatError.malformed) { try Heartbeat(decoding: heartbeat.encoded) }
    }
    var last = HeartbeatTests.sample
    last.epoch = Epoch.limit - 1
    #expect(try Heartbeat(decoding: last.encoded) == last)
    #expect(Epoch.after(7) == 8 && Epoch.after(7, by: 2) == 9)
    for epoch in [last.epoch, .max - 1, .max] { #expect(Epoch.after(epoch, by: 2) == last.epoch) }
  }

  /// Whatever a host has heard before, it goes on, and the other one can read what it says.
  @Test(arguments: [Role.starting, .active, .standby, .fenced], [PairMachine.Asks.nobody, .arbiter])
  func theLastEpochStopsNobody(_ role: Role, _ asks: PairMachine.Asks) throws {
    for own in [0, Epoch.limit - 2, Epoch.limit - 1] {
      var machine = PairMachine(
        PairMachine.Configuration(
          node: "beta", pair: "web", prefersActive: false, paths: 1, interval: 50_000_000, deadAfter: 200_000_000,
          exposeAfter: 500_000_000, mayExpose: true, asks: asks), instance: 1, epoch: own, now: 0)
      var sequence: UInt64 = 0
      var roles: Set<Role> = []
      for turn in 0..<600 as Range<UInt64> {
        let now = turn * 50_000_000
        var actions = machine.handle(.tick, now: now)
        // Heard for a while, silent for a while, and heard again.
        if turn % 200 < 60 {
          sequence += 1
          let heartbeat = Heartbeat(
            role: role, replication: .exposed, prefersActive: true, epoch: Epoch.limit - 1, sequence: sequence,
            instance: 2 + turn / 200, node: "alpha", pair: "web")
          actions += machine.handle(.heartbeat(path: 0, heartbeat), now: now)
        }
        for case .ask(let question) in actions {
          _ = machine.handle(.answer(to: question.number, .granted(epoch: question.epoch)), now: now)
        }
        roles.insert(machine.role)
        #expect(try Heartbeat(decoding: machine.heartbeat(sequence: turn).encoded).epoch == machine.epoch)
      }
      #expect(roles.contains(.active))
    }
  }
}
