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

  @Test func theConditionsComeBack() throws {
    for (isUnreachable, isTableMissing) in [(false, true), (true, false), (true, true)] {
      var heartbeat = Self.sample
      heartbeat.credential = [1, 2, 3]
      heartbeat.isUnreachable = isUnreachable
      heartbeat.isTableMissing = isTableMissing
      let decoded = try Heartbeat(decoding: heartbeat.encoded)
      #expect(decoded == heartbeat && decoded.saysConditions)
    }
  }

  /// Hosts are upgraded one after the other: each reads what the other one's release says.
  @Test func otherMinorVersionsAreUnderstood() throws {
    var heartbeat = Self.sample
    heartbeat.credential = [1, 2, 3]
    heartbeat.echo = 9
    heartbeat.isUnreachable = true
    let bytes = heartbeat.encoded
    let tag = bytes.count - 32
    // A newer release: more bits, and more before the tag.
    var newer = bytes
    newer[7] = 3
    newer[tag - 1] |= 0xfc
    newer.insert(contentsOf: [200, 0, 7], at: tag)
    #expect(try Heartbeat(decoding: newer) == heartbeat)
    // Minor version 1 says no conditions.
    let former = heartbeat.ofMinorVersion1
    #expect(!former.saysConditions && !former.isUnreachable && !former.isTableMissing)
    #expect(former.credential == [1, 2, 3] && former.echo == 9 && former.epoch == heartbeat.epoch)
    // Minor version 0 ends with the pair.
    var first = bytes
    first[7] = 0
    first.removeSubrange((tag - 1 - 3 - 2 - 8)..<tag)
    let oldest = try Heartbeat(decoding: first)
    #expect(oldest.pair == heartbeat.pair && oldest.echo == 0 && !oldest.saysConditions && !oldest.isUnreachable)
  }

  /// What minor version 1 reads of this release's heartbeat: it finds the tag at the end, and skips what is before it.
  @Test func theConditionsStandBetweenCredentialAndTag() {
    var heartbeat = Self.sample
    heartbeat.credential = [1, 2, 3]
    let plain = heartbeat.encoded
    heartbeat.isUnreachable = true
    heartbeat.isTableMissing = true
    let said = heartbeat.encoded
    #expect(plain.count == said.count)
    #expect(plain.indices.filter { plain[$0] != said[$0] } == [plain.count - 33])
    #expect(plain[plain.count - 33] == 0 && said[plain.count - 33] == 3)
    #expect(Array(plain[(plain.count - 36)..<(plain.count - 33)]) == [1, 2, 3])
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

extension Heartbeat {
  /// As the former release would have sent it: without conditions.
  var ofMinorVersion1: Heartbeat {
    var bytes = encoded
    bytes[7] = 1
    bytes.remove(at: bytes.count - Self.tagLength - 1)
    return (try? Heartbeat(decoding: bytes)) ?? self
  }

  private static let tagLength = 32
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
