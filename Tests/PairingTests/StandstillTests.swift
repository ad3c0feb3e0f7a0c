import Pairing
import Testing

/// What a host does that stood still, and what it makes of messages that overtake each other. Tests/Model found these.
@Suite struct StandstillTests {
  private static let interval: UInt64 = 50_000_000
  private var now: UInt64 = 0
  private var machine: PairMachine
  private var sequence: UInt64 = 0

  init() {
    machine = PairMachine(
      PairMachine.Configuration(
        node: "beta", pair: "web", prefersActive: false, paths: 1, interval: Self.interval,
        deadAfter: 4 * Self.interval,
        exposeAfter: 10 * Self.interval, mayExpose: true), instance: 1, now: 0)
  }

  private mutating func pass(_ intervals: UInt64) -> [PairMachine.Action] {
    (0..<intervals).flatMap { _ in
      now += Self.interval
      return machine.handle(.tick, now: now)
    }
  }

  private mutating func hear(_ role: Role, _ replication: ReplicationPhase, epoch: UInt64) -> [PairMachine.Action] {
    sequence += 1
    return machine.handle(
      .heartbeat(
        path: 0,
        Heartbeat(
          role: role, replication: replication, prefersActive: true, epoch: epoch, sequence: sequence, instance: 2,
          node: "alpha", pair: "web")), now: now)
  }

  /// Active without a standby.
  private mutating func becomeActive() {
    _ = pass(60)
    #expect(machine.role == .active)
  }

  /// Stands still for so long that another host may have taken its place, and goes on with a tick.
  private mutating func standStill() -> [PairMachine.Action] {
    now += 400 * Self.interval
    return pass(1)
  }

  @Test mutating func whatGoesAloneLooksAroundBeforeItSpeaksAgain() {
    becomeActive()
    #expect(standStill().contains(.holdGate))
    #expect(!pass(2).contains(.openGate))
    #expect(pass(2).contains(.openGate))
  }

  @Test mutating func aSuccessorIsHeardBeforeTheGateOpens() {
    becomeActive()
    #expect(standStill().contains(.holdGate))
    // A full buffer keeps what is old.
    #expect(!hear(.standby, .waiting, epoch: machine.epoch).contains(.openGate))
    let actions = pass(1) + hear(.active, .exposed, epoch: machine.epoch + 1)
    #expect(!actions.contains(.openGate))
    #expect(machine.role == .fenced)
    #expect(!pass(3).contains(.openGate))
  }

  /// The stop came in the middle of a sync, while the gate was still open: the connections go on as soon as anybody knows more.
  @Test mutating func aSyncThatIsInterruptedByAStandstillEndsInSilenceNotInSpeech() {
    becomeActive()
    _ = machine.handle(.channelUp, now: now)
    #expect(standStill().contains(.holdGate))
    #expect(machine.replication == .syncing)
    _ = machine.handle(.channelDown(silence: 0), now: now)
    #expect(machine.replication == .waiting)
    #expect(pass(20).contains(.openGate))
  }

  @Test mutating func nothingIsBegunOnOldWords() {
    _ = pass(1)
    _ = standStill()
    _ = hear(.standby, .waiting, epoch: 0)
    #expect(machine.role == .starting)
    _ = hear(.active, .exposed, epoch: 1)
    #expect(machine.role == .standby)
  }

  private mutating func follow(epoch: UInt64) {
    _ = hear(.active, .syncing, epoch: 1)
    _ = machine.handle(.following(epoch: epoch, instance: 2), now: now)
  }

  /// Heartbeats go before the stream: that the active host goes on alone is known before the end of its sync is read.
  @Test mutating func theEndOfASyncThatIsReadTooLateDoesNotCount() {
    follow(epoch: 1)
    _ = hear(.active, .exposed, epoch: 2)
    _ = machine.handle(.syncCompleted, now: now)
    #expect(!machine.areLedgersCurrent)
    // The next session's does.
    _ = machine.handle(.following(epoch: 2, instance: 2), now: now)
    _ = machine.handle(.syncCompleted, now: now)
    #expect(machine.areLedgersCurrent)
  }

  @Test mutating func aWholeSessionThatIsReadTooLateDoesNotCount() {
    _ = hear(.active, .exposed, epoch: 2)
    _ = machine.handle(.following(epoch: 1, instance: 2), now: now)
    _ = machine.handle(.syncCompleted, now: now)
    #expect(!machine.areLedgersCurrent)
  }

  /// A takeover is later than anything that the stream has told, even if no heartbeat did.
  @Test mutating func theStreamsEpochCounts() {
    follow(epoch: 5)
    _ = machine.handle(.syncCompleted, now: now)
    _ = pass(4)
    #expect(machine.role == .active)
    #expect(machine.epoch == 7)
  }

  @Test mutating func aHandoverThatIsReadTooLateDoesNotCount() {
    follow(epoch: 1)
    _ = machine.handle(.syncCompleted, now: now)
    _ = hear(.active, .exposed, epoch: 2)
    #expect(machine.handle(.handedOver, now: now) == [])
    #expect(machine.role == .standby)
  }
}
