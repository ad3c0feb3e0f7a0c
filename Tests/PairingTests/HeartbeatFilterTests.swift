import Pairing
import Testing

/// Old heartbeats, however authentic, tell nothing about now.
@Suite struct HeartbeatFilterTests {
  private static let own: UInt64 = 77
  private func heartbeat(_ instance: UInt64, _ sequence: UInt64, echo: UInt64 = own) -> Heartbeat {
    var heartbeat = Heartbeat(
      role: .active, replication: .synced, prefersActive: true, epoch: 3, sequence: sequence, instance: instance,
      node: "alpha", pair: "web")
    heartbeat.echo = echo
    return heartbeat
  }
  private func filter() -> HeartbeatFilter { HeartbeatFilter(instance: Self.own, paths: 2) }

  @Test func whatWasMadeForThisRunCounts() {
    var filter = filter()
    #expect(filter.echo == 0)
    #expect(filter.judge(heartbeat(1, 5), on: 0) == .fresh)
    #expect(filter.echo == 1)
    // Having been proven it need not echo any more: a peer that has lost this host for a while still lives.
    #expect(filter.judge(heartbeat(1, 6, echo: 0), on: 0) == .fresh)
  }

  @Test func aRecordingFromBeforeThisRunDoesNot() {
    var filter = filter()
    for echo in [0, 70] as [UInt64] {
      #expect(filter.judge(heartbeat(1 + echo, 5, echo: echo), on: 0) == .unproven)
      // It is answered, in case that its sender lives.
      #expect(filter.echo == 1 + echo)
      #expect(filter.judge(heartbeat(1 + echo, 5, echo: echo), on: 0) == .replayed)
      #expect(filter.judge(heartbeat(1 + echo, 4, echo: echo), on: 0) == .replayed)
      #expect(filter.judge(heartbeat(1 + echo, 6, echo: echo), on: 0) == .unproven)
    }
  }

  @Test func eachPathBringsAHeartbeatOnce() {
    var filter = filter()
    #expect(filter.judge(heartbeat(1, 5), on: 0) == .fresh)
    #expect(filter.judge(heartbeat(1, 5), on: 0) == .replayed)
    #expect(filter.judge(heartbeat(1, 5), on: 1) == .fresh)
    #expect(filter.judge(heartbeat(1, 5), on: 1) == .replayed)
    #expect(filter.judge(heartbeat(1, 4), on: 1) == .replayed)
    #expect(filter.judge(heartbeat(1, 6), on: 1) == .fresh)
    #expect(filter.judge(heartbeat(1, 9), on: 2) == .replayed, "there is no such path")
  }

  /// A recording of the run before must not make a dead host look alive, though it echoes this run.
  @Test func aRunThatAnotherHasFollowedIsOver() {
    var filter = filter()
    #expect(filter.judge(heartbeat(1, 5), on: 0) == .fresh)
    #expect(filter.judge(heartbeat(2, 1, echo: 0), on: 0) == .unproven)
    #expect(
      filter.judge(heartbeat(1, 6), on: 0) == .fresh, "a stranger's old instance must not push out the living one")
    #expect(filter.judge(heartbeat(2, 2), on: 0) == .fresh)
    #expect(filter.judge(heartbeat(1, 7), on: 0) == .replayed)
    #expect(filter.judge(heartbeat(1, 8), on: 1) == .replayed)
    #expect(filter.echo == 2)
  }

  @Test func anInstanceIsNotItsOwnPeer() {
    var filter = filter()
    #expect(filter.judge(heartbeat(Self.own, 5), on: 0) == .replayed)
  }

  /// Many recordings take no more memory than a few.
  @Test func unprovenInstancesAreBoundedAndNoneOfThemCounts() {
    var filter = filter()
    for instance in 100..<10_000 as Range<UInt64> {
      #expect(filter.judge(heartbeat(instance, 1, echo: 1), on: 0) == .unproven)
    }
    // The first ones have been forgotten, and are as unproven as ever.
    #expect(filter.judge(heartbeat(100, 1, echo: 1), on: 0) == .unproven)
  }

  /// Two hosts that start at the same time prove themselves with two heartbeats each.
  @Test func twoThatStartTogetherFindEachOther() {
    var alpha = HeartbeatFilter(instance: 1, paths: 1), beta = HeartbeatFilter(instance: 2, paths: 1)
    #expect(beta.judge(heartbeat(1, 1, echo: alpha.echo), on: 0) == .unproven)
    #expect(alpha.judge(heartbeat(2, 1, echo: beta.echo), on: 0) == .fresh)
    #expect(beta.judge(heartbeat(1, 2, echo: alpha.echo), on: 0) == .fresh)
  }
}

@Suite struct HeartbeatCredentialTests {
  private func heartbeat() -> Heartbeat {
    var heartbeat = Heartbeat(
      role: .standby, replication: .waiting, prefersActive: false, epoch: 1 << 40, sequence: 9, instance: 1 << 60,
      node: "beta", pair: "web")
    heartbeat.echo = 0x0102_0304_0506_0708
    heartbeat.credential = Array(0...255)
    return heartbeat
  }

  @Test func echoAndCredentialArriveAsTheyWereSent() throws {
    #expect(try Heartbeat(decoding: heartbeat().encoded) == heartbeat())
    #expect(heartbeat().encoded.suffix(32).allSatisfy { $0 == 0 })
  }

  @Test func everyPrefixIsRefused() {
    let bytes = heartbeat().encoded
    for count in bytes.indices {
      #expect(throws: HeartbeatError.self) { try Heartbeat(decoding: Array(bytes[..<count])) }
    }
  }

  /// One of the first minor version, which knew neither.
  @Test func anOlderMinorVersionIsUnderstood() throws {
    var bytes = heartbeat().encoded
    let tail = 8 + 2 + 256
    bytes.removeSubrange(bytes.count - 32 - tail..<bytes.count - 32)
    bytes[7] = 0
    let decoded = try Heartbeat(decoding: bytes)
    #expect(decoded.echo == 0 && decoded.credential.isEmpty)
    #expect(decoded.node == "beta" && decoded.pair == "web" && decoded.instance == 1 << 60)
  }
}

@Suite struct RumourTests {
  private func machine() -> PairMachine {
    PairMachine(
      PairMachine.Configuration(
        node: "beta", pair: "web", prefersActive: true, paths: 1, interval: 50_000_000, deadAfter: 200_000_000,
        exposeAfter: 500_000_000, mayExpose: true), instance: 1, now: 0)
  }
  private func rumour(_ role: Role, epoch: UInt64 = 9) -> PairMachine.Event {
    .rumour(
      Heartbeat(
        role: role, replication: .exposed, prefersActive: true, epoch: epoch, sequence: 1, instance: 2, node: "alpha",
        pair: "web"))
  }
  private let second: UInt64 = 1_000_000_000

  private func tick(_ machine: inout PairMachine, from start: UInt64, to end: UInt64) {
    for now in stride(from: start, through: end, by: 50_000_000) { _ = machine.handle(.tick, now: now) }
  }

  /// A peer that is active and does not hear this host must not get a second active one beside it.
  @Test func aHostThatStartsWaitsWhileItHearsOfAnActiveOne() {
    var machine = machine()
    _ = machine.handle(rumour(.active), now: second / 2)
    tick(&machine, from: second / 2, to: second)
    #expect(machine.role == .starting)
    tick(&machine, from: second, to: 2 * second)
    #expect(machine.role == .active)
    #expect(machine.epoch == 2, "hearsay does not set the epoch")
  }

  @Test func hearsayOfAStandbyDelaysNothing() {
    var machine = machine()
    _ = machine.handle(rumour(.standby), now: second / 2)
    tick(&machine, from: second / 2, to: second)
    #expect(machine.role == .active)
  }

  @Test func hearsayFencesNobody() {
    var machine = machine()
    _ = machine.handle(.tick, now: second)
    #expect(machine.role == .active)
    #expect(machine.handle(rumour(.active), now: second + 1).isEmpty)
    #expect(machine.role == .active)
  }
}
