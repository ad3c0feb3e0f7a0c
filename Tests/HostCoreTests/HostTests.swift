import HostCore
import Pairing
import Replication
import TCPModel
import Testing

/// A host whose effects are carried out by writing down their names.
private struct Rig: ~Copyable {
  var host: Host
  var now: UInt64 = 1_000_000_000
  private(set) var effects: [String] = []
  static let interval: UInt64 = 50_000_000

  init(mayExpose: Bool = true) {
    host = Host(
      PairMachine(
        PairMachine.Configuration(
          node: "alpha", pair: "web", prefersActive: true, paths: 1, interval: Self.interval, deadAfter: 200_000_000,
          exposeAfter: 500_000_000, mayExpose: mayExpose), instance: 1, now: now))
  }

  static func name(_ effect: Host.Effect) -> String { "\(effect)".prefix { $0 != "(" }.description }

  mutating func perform(_ react: (inout Host, Host.Effect, UInt64) -> Void = { _, _, _ in }) {
    while let effect = host.next(now: now) {
      effects.append(Self.name(effect))
      react(&host, effect, now)
    }
  }

  /// - Returns: the names of the effects, but those that are of no interest here.
  mutating func handle(
    _ event: Host.Event, _ react: (inout Host, Host.Effect, UInt64) -> Void = { _, _, _ in }
  ) -> [String] {
    effects = []
    host.handle(event, now: now)
    perform(react)
    return takeEffects()
  }

  mutating func takeEffects() -> [String] {
    defer { effects = [] }
    return effects.filter { !["sendHeartbeat", "keepEpoch", "packetsMayGo", "note"].contains($0) }
  }

  mutating func release() -> UInt32? { host.release(now: now) }

  var peer: Heartbeat {
    Heartbeat(
      role: .standby, replication: .waiting, prefersActive: false, epoch: host.machine.epoch, sequence: now,
      instance: 2, node: "beta", pair: "web")
  }

  mutating func hear(_ heartbeat: Heartbeat? = nil) -> [String] { handle(.heartbeat(path: 0, heartbeat ?? peer)) }

  mutating func tick() -> [String] {
    now += Self.interval
    _ = hear()
    return handle(.tick(observed: Self.interval))
  }

  mutating func acknowledge(_ position: UInt64) throws -> [String] {
    var outgoing = OutgoingStream()
    outgoing.appendNumber(.acknowledge, position)
    var pieces: [UnsafeRawBufferPointer] = []
    outgoing.pieces(into: &pieces)
    var incoming = IncomingStream()
    for piece in pieces {
      incoming.space().copyMemory(from: piece)
      incoming.commit(piece.count)
    }
    while let frame = try incoming.next() { try host.receive(fromStandby: frame) }
    perform()
    return takeEffects()
  }

  /// Active, with a standby that holds everything.
  mutating func sync() throws {
    var starting = peer
    starting.role = .starting
    let begun = hear(starting)
    #expect(begun.contains("becomeActive"))
    host.attach(
      Hello(node: "alpha", pair: "web", instance: 1, epoch: 1, position: 0, supportsMicroseconds: true),
      connections: [])
    perform()
    host.pump(LedgerBook(), now: now)
    perform()
    _ = takeEffects()
    let synced = try acknowledge(host.source.outgoing.position)
    let (phase, passage) = (host.machine.replication, host.passage)
    #expect(synced == ["replicationChanged"] && phase == .synced && passage == .committed)
  }
}

@Suite struct HostTests {
  /// First nothing leaves, then nothing comes, then the sockets end; the goodbye is the stream's last word.
  @Test func aHandOverIsDoneInOrder() throws {
    var rig = Rig()
    try rig.sync()
    let begun = rig.handle(.switchover) { host, effect, now in
      if case .standStill = effect { host.handle(.stoodStill, now: now) }
    }
    // The standby holds everything already: the last record was acknowledged.
    #expect(
      begun == [
        "standStill", "flush", "dropAddresses", "recordLate", "abandonConnections", "flush", "closeStandby",
        "handedOver",
      ])
    let (role, passage, isOpen) = (rig.host.machine.role, rig.host.passage, rig.host.source.gate.isOpen)
    #expect(role == .fenced && passage == .barred && !isOpen)
  }

  /// Packets stay where they are, and this host can change its mind, until the standby has acknowledged the last record.
  @Test func aStandbyThatIsSilentEndsTheMove() throws {
    var rig = Rig()
    try rig.sync()
    let began = rig.handle(.switchover) { host, effect, now in
      guard case .standStill = effect else { return }
      host.source.outgoing.append(.release, connection: 7)
      host.handle(.stoodStill, now: now)
    }
    #expect(began == ["standStill", "flush"])
    let (still, takes, owns) = (rig.host.passage, rig.host.takesPackets, rig.host.ownsConnections)
    #expect(still == .standingStill && !takes && !owns)
    var effects: [String] = []
    var ticks = 0
    while effects.isEmpty, ticks < 100 {
      effects = rig.tick()
      ticks += 1
    }
    // It is detached for its silence before the two seconds have passed, which takes the move along.
    #expect(effects.starts(with: ["closeStandby", "goOn", "switchoverEnded"]), "\(effects)")
    let (role, passage) = (rig.host.machine.role, rig.host.passage)
    #expect(role == .active && passage != .standingStill)
  }

  /// As long as it acknowledges more and more the move goes on, however long it takes.
  @Test func aMoveThatGoesOnIsWaitedFor() throws {
    var rig = Rig()
    try rig.sync()
    let began = rig.handle(.switchover) { host, effect, now in
      guard case .standStill = effect else { return }
      for _ in 0..<200 { host.source.outgoing.append(.release, connection: 7) }
      host.handle(.stoodStill, now: now)
    }
    #expect(began == ["standStill", "flush"])
    var moving = 0
    for _ in 0..<150 {
      moving += rig.tick().count { $0 == "moving" }
      let effects = try rig.acknowledge(rig.host.source.acknowledged + 1)
      #expect(effects.isEmpty)
    }
    #expect(moving >= 3)
    let last = try rig.acknowledge(rig.host.source.outgoing.position)
    #expect(last.first == "dropAddresses" && last.last == "handedOver")
  }

  @Test func aFencedHostLetsGoInOrder() throws {
    var rig = Rig()
    try rig.sync()
    rig.host.source.outgoing.append(.release, connection: 7)
    rig.host.source.hold(41)
    rig.host.source.hold(42)
    var later = rig.peer
    later.role = .active
    later.epoch += 5
    later.sequence += 1
    let effects = rig.hear(later)
    #expect(effects == ["fence", "dropAddresses", "abandonConnections", "drop", "closeStandby"])
    let (passage, waiting) = (rig.host.passage, rig.host.source.gate.waitingCount)
    #expect(passage == .barred && waiting == 0)
  }

  /// What the standby has acknowledged leaves as long as the standby is heard, and not longer.
  @Test func anAcknowledgementThatComesLateLetsNothingGo() throws {
    var rig = Rig(mayExpose: false)
    try rig.sync()
    rig.host.source.outgoing.append(.release, connection: 7)
    rig.host.source.hold(41)
    _ = rig.tick()
    let early = rig.release()
    #expect(early == nil)
    for _ in 0..<10 {
      rig.now += Rig.interval
      _ = rig.handle(.tick(observed: Rig.interval))
    }
    _ = try rig.acknowledge(rig.host.source.outgoing.position)
    let late = rig.release()
    #expect(late == nil)
    _ = rig.tick()
    let heard = rig.release()
    #expect(heard == 41)
  }

  /// What is reported while an effect is carried out comes before what was to be done after it, in the order of the reports.
  @Test func reportsComeInOrderAndBeforeTheRest() throws {
    var rig = Rig()
    try rig.sync()
    let effects = rig.handle(.end) { host, effect, now in
      guard case .flush = effect else { return }
      host.handle(.table(isInForce: false), now: now)
      host.handle(.standbyEnded(reason: "first"), now: now)
      host.handle(.standbyEnded(reason: "second"), now: now)
    }
    #expect(effects.prefix(2) == ["flush", "closeStandby"])
    #expect(effects.count { $0 == "closeStandby" } == 1)
    let rest = effects.drop { $0 != "unprotectConnections" }
    #expect(Array(rest) == ["unprotectConnections", "stopFollowing"])
  }

  /// Whoever is told that a move has failed may have the host fenced. When that returns nothing leaves any more, though more
  /// was to be done before.
  @Test func whatFollowsFromAReportIsDoneBeforeTheRest() throws {
    var rig = Rig()
    try rig.sync()
    var inner: [String] = []
    _ = rig.handle(.switchover) { host, effect, now in
      guard case .standStill = effect else { return }
      host.source.outgoing.append(.release, connection: 7)
      host.handle(.stoodStill, now: now)
    }
    rig.host.source.hold(41)
    let effects = rig.handle(.standbyEnded(reason: "gone")) { host, effect, now in
      guard case .switchoverEnded = effect else { return }
      let floor = host.depth
      host.handle(.demoted, now: now)
      while let effect = host.next(now: now, above: floor) { inner.append(Rig.name(effect)) }
      let (passage, waiting) = (host.passage, host.source.gate.waitingCount)
      #expect(passage == .barred && waiting == 0)
    }
    #expect(inner == ["fence", "dropAddresses", "abandonConnections", "drop", "sendHeartbeat"])
    #expect(effects == ["closeStandby", "goOn", "switchoverEnded", "replicationChanged"])
  }

  /// A daemon that is to start again waits for the standby to hold everything, and not for ever.
  @Test func aRestartWaitsForTheStandbyAndNotForEver() throws {
    var rig = Rig()
    try rig.sync()
    rig.host.source.outgoing.append(.release, connection: 7)
    let told = rig.handle(.restart)
    let muted = rig.handle(.muted)
    let ready = try rig.acknowledge(rig.host.source.outgoing.position)
    #expect(told.isEmpty && muted == ["flush"] && ready == ["restartReady"])
    rig.host.source.outgoing.append(.release, connection: 8)
    let again = rig.handle(.muted)
    #expect(again == ["flush"])
    var effects: [String] = []
    var ticks = 0
    while !effects.contains("restartReady"), ticks < 20 {
      effects += rig.tick()
      ticks += 1
    }
    #expect(effects.contains("restartReady") && ticks > 5)
  }
}
