import Pairing
import Testing

/// When the pair moves because clients can reach the standby alone: to the tick.
@Suite struct LinkTests {
  private static let interval: UInt64 = 50_000_000
  private var now: UInt64 = 0
  private var machine: PairMachine
  private var sequence: UInt64 = 0
  private var peer = Heartbeat(
    role: .standby, replication: .waiting, prefersActive: false, epoch: 1, sequence: 0, instance: 2, node: "beta",
    pair: "web")

  init() {
    machine = PairMachine(
      PairMachine.Configuration(
        node: "alpha", pair: "web", prefersActive: true, paths: 1, interval: Self.interval,
        deadAfter: 4 * Self.interval, exposeAfter: 10 * Self.interval, mayExpose: true,
        linkDownAfter: 10 * Self.interval), instance: 1, now: 0)
    for _ in 0..<30 { _ = tick(hearing: false) }
    for event in [PairMachine.Event.channelUp, .syncEnding, .standbySynced] { _ = machine.handle(event, now: now) }
  }

  private mutating func tick(hearing: Bool = true, after time: UInt64 = interval) -> [PairMachine.Action] {
    now += time
    if hearing {
      peer.sequence += 1
      _ = machine.handle(.heartbeat(path: 0, peer), now: now)
    }
    return machine.handle(.tick, now: now)
  }

  /// - Returns: ticks until the pair moves; nil when it does not within 60.
  private mutating func ticksUntilMove(hearing: Bool = true, after time: UInt64 = interval) -> Int? {
    (1...60).first { _ in tick(hearing: hearing, after: time).contains(.prepareHandOver) }
  }

  @Test mutating func itMovesWhenTheTimeIsOver() {
    _ = tick()
    _ = machine.handle(.links(isReachable: false), now: now)
    let ticks = ticksUntilMove()
    #expect(ticks == 10)
    #expect(machine.isHandingOver)
  }

  /// A machine that was short of time has not watched for so long.
  @Test mutating func lateTicksCountAsMuchAsWasObserved() {
    _ = tick()
    _ = machine.handle(.links(isReachable: false), now: now)
    let ticks = ticksUntilMove(after: 3 * Self.interval)
    #expect(ticks == 5)
  }

  @Test mutating func eitherConditionMayBreakIt() {
    _ = tick()
    _ = machine.handle(.links(isReachable: false), now: now)
    for round in 0..<8 {
      for _ in 0..<9 {
        let actions = tick()
        #expect(!actions.contains(.prepareHandOver))
      }
      // Between two ticks.
      if round % 2 == 0 {
        for isReachable in [true, false] { _ = machine.handle(.links(isReachable: isReachable), now: now) }
      } else {
        for isUnreachable in [true, false] {
          peer.sequence += 1
          peer.isUnreachable = isUnreachable
          _ = machine.handle(.heartbeat(path: 0, peer), now: now)
        }
      }
    }
    let ticks = ticksUntilMove()
    #expect(ticks == 10)
  }

  /// Not to one whose packet table is not in force, nor to one that is no standby, nor to one that is not heard.
  @Test mutating func itDoesNotMoveToWhoIsNotReady() {
    _ = tick()
    _ = machine.handle(.links(isReachable: false), now: now)
    peer.isTableMissing = true
    var ticks = ticksUntilMove()
    #expect(ticks == nil && machine.peerUnfitness == .tableMissing && machine.isPeerTableMissing)
    peer.isTableMissing = false
    peer.role = .fenced
    ticks = ticksUntilMove()
    #expect(ticks == nil && machine.peerUnfitness == nil)
    peer.role = .standby
    _ = tick()
    ticks = ticksUntilMove(hearing: false)
    #expect(ticks == nil)
  }

  /// What this host knows of itself is in its heartbeats.
  @Test mutating func itSaysHowItIs() {
    #expect(!machine.heartbeat(sequence: 1).isUnreachable && !machine.heartbeat(sequence: 1).isTableMissing)
    _ = machine.handle(.links(isReachable: false), now: now)
    machine.isTableMissing = true
    #expect(machine.heartbeat(sequence: 2).isUnreachable && machine.heartbeat(sequence: 2).isTableMissing)
    _ = machine.handle(.links(isReachable: true), now: now)
    machine.isTableMissing = false
    #expect(!machine.heartbeat(sequence: 3).isUnreachable && !machine.heartbeat(sequence: 3).isTableMissing)
  }

  /// Whether clients can reach the peer is known while it is heard, and as long as it says so.
  @Test mutating func whatThePeerSaysIsKnown() {
    #expect(machine.isPeerReachable == nil)
    _ = tick()
    #expect(machine.isPeerReachable == true)
    peer.isUnreachable = true
    _ = tick()
    #expect(machine.isPeerReachable == false && machine.peerUnfitness == .unreachable && !machine.mayHandOver)
    for _ in 0..<4 { _ = tick(hearing: false) }
    #expect(machine.isPeerReachable == nil && machine.peerUnfitness == .unreachable)
    peer = peer.ofMinorVersion1
    _ = tick()
    #expect(machine.isPeerReachable == nil && machine.mayHandOver)
  }
}
