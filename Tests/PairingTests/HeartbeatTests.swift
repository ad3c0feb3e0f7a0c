import Pairing
import Testing

/// A heartbeat's datagram may come from anyone.
@Suite struct HeartbeatTests {
  static let sample = Heartbeat(
    role: .active, replication: .synced, prefersActive: true, epoch: 7, sequence: 1 << 40, instance: .max,
    node: "alpha",
    pair: "wëb")

  @Test func aHeartbeatComesBack() throws {
    for role in [Role.starting, .active, .standby, .fenced] {
      for phase in [ReplicationPhase.waiting, .syncing, .synced, .exposed] {
        var heartbeat = Self.sample
        heartbeat.role = role
        heartbeat.replication = phase
        heartbeat.prefersActive.toggle()
        #expect(try Heartbeat(decoding: heartbeat.encoded) == heartbeat)
      }
    }
  }

  @Test func everyHeartbeatCutShortIsAnError() {
    let bytes = Self.sample.encoded
    for count in bytes.indices {
      #expect(throws: HeartbeatError.self, "\(count) bytes") { try Heartbeat(decoding: Array(bytes[..<count])) }
    }
  }

  @Test func strangersAndOtherVersionsAreToldApart() {
    var bytes = Self.sample.encoded
    bytes[0] = 0
    #expect(throws: HeartbeatError.notHoldfast) { try Heartbeat(decoding: bytes) }
    bytes = Self.sample.encoded
    bytes[5] = 9
    #expect(throws: HeartbeatError.otherMajorVersion(9)) { try Heartbeat(decoding: bytes) }
    for position in [8, 9] {
      bytes = Self.sample.encoded
      bytes[position] = 200
      #expect(throws: HeartbeatError.malformed) { try Heartbeat(decoding: bytes) }
    }
    #expect(throws: HeartbeatError.truncated) { try Heartbeat(decoding: []) }
  }
}

/// What the machine must not react to at all.
@Suite struct StrangerTests {
  private func machine() -> PairMachine {
    PairMachine(
      PairMachine.Configuration(
        node: "alpha", pair: "web", prefersActive: true, paths: 2, interval: 50_000_000, deadAfter: 200_000_000,
        exposeAfter: 500_000_000, mayExpose: true), instance: 1, now: 0)
  }

  @Test func heartbeatsOfAnotherPairOrOfItselfAreIgnored() {
    var machine = machine()
    for (node, pair) in [("beta", "other"), ("alpha", "web")] {
      let heartbeat = Heartbeat(
        role: .active, replication: .exposed, prefersActive: true, epoch: 9, sequence: 1, instance: 5, node: node,
        pair: pair)
      let actions = machine.handle(.heartbeat(path: 0, heartbeat), now: 1)
      #expect(actions.isEmpty)
    }
    #expect(machine.role == .starting && machine.epoch == 0)
  }

  @Test func aHeartbeatOnAPathThatIsNotConfiguredIsIgnored() {
    var machine = machine()
    for path in [-1, 2, Int.max] {
      let heartbeat = Heartbeat(
        role: .active, replication: .exposed, prefersActive: true, epoch: 9, sequence: 1, instance: 5, node: "beta",
        pair: "web")
      let actions = machine.handle(.heartbeat(path: path, heartbeat), now: 1)
      #expect(!actions.contains { if case .becomeStandby = $0 { true } else { false } })
      #expect(machine.lastHeard(path: path) == nil && !machine.isAlive(path: path, now: 1))
    }
    #expect(machine.role == .starting)
  }

  /// What comes out of turn, such as the end of a session that a change of roles has ended already, changes nothing.
  @Test func eventsOfAnotherRoleAreIgnored() {
    var machine = machine()
    for event in [
      PairMachine.Event.channelUp, .syncEnding, .standbySynced, .channelDown(silence: 5), .standbyLeft,
      .following(epoch: 4, instance: 1), .syncCompleted, .sourceLost, .sourceLeft, .handedOver,
    ] {
      let actions = machine.handle(event, now: 1)
      #expect(actions.isEmpty)
    }
    #expect(machine.role == .starting && machine.epoch == 0 && machine.replication == .waiting)
  }

  /// A clock that goes back does not make anybody dead or alive.
  @Test func timeThatGoesBackStandsStill() {
    var machine = machine()
    _ = machine.handle(.tick, now: 900_000_000)
    let early = machine.handle(.tick, now: 100)
    #expect(early.isEmpty && machine.role == .starting)
    let due = machine.handle(.tick, now: 1_000_000_000)
    #expect(!due.isEmpty && machine.role == .active)
  }
}
