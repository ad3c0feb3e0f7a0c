import Modelling
import Replication
import TCPModel
import Testing

@Suite struct ReplicationSourceTests {
  @Test func aStandbyIsSyncedWhenItHasAcknowledgedTheSyncsEnd() throws {
    let rig = Rig()
    rig.register(1)
    #expect(rig.phase == .detached)
    #expect(rig.lag == 0)
    rig.attach()
    #expect(rig.phase == .syncing)
    #expect(rig.pump())
    #expect(!rig.pump(), "the sync has one end")
    try rig.transfer(limit: 100)
    #expect(try !rig.acknowledge())
    #expect(rig.phase == .syncing && rig.lag > 0)
    try rig.transfer()
    #expect(rig.replica.isComplete)
    #expect(try rig.acknowledge())
    #expect(rig.phase == .synced && rig.lag == 0)
    #expect(try !rig.acknowledge(), "it completes once")
    rig.compare("after the sync")
  }

  @Test func anOpenGateShutsBeforeTheSyncsEndIsWritten() throws {
    let rig = Rig(gateIsOpen: true)
    rig.register(1)
    rig.attach()
    #expect(rig.gateIsOpen, "until then nobody takes over, and nobody need wait")
    #expect(rig.pump())
    #expect(!rig.gateIsOpen)
  }

  /// No acknowledgement lets a packet go before the standby has all ledgers: the packet may rest on one that is still missing.
  @Test func acknowledgementsBelowTheSyncsEndReleaseNothing() throws {
    let rig = Rig()
    let id = rig.register(1)
    rig.attach()
    for _ in 0..<50 { rig.step(id) }
    let waiting = rig.source.gate.waitingCount
    #expect(waiting > 0)
    try rig.transfer()
    try rig.acknowledge()
    #expect(rig.waitingCount == waiting)
    #expect(rig.pump())
    try rig.transfer()
    try rig.acknowledge()
    #expect(rig.waitingCount == 0)
    #expect(rig.released.last == rig.lastPacket)
  }

  @Test func acknowledgingWhatWasNeverSentIsRefused() throws {
    let rig = Rig()
    rig.register(1)
    rig.attach()
    try rig.settle()
    let end = rig.source.outgoing.position
    #expect(throws: ProtocolError.acknowledgementBeyondEnd) { try rig.acknowledge(end + 1) }
    #expect(throws: ProtocolError.acknowledgementBeyondEnd) { try rig.acknowledge(.max) }
    #expect(rig.acknowledged == end)
    #expect(rig.committed == end)
  }

  @Test func anAcknowledgementNeverGoesBack() throws {
    let rig = Rig()
    let id = rig.register(1)
    rig.attach()
    try rig.settle()
    for _ in 0..<30 { rig.step(id) }
    try rig.transfer()
    try rig.acknowledge()
    let position = rig.source.acknowledged
    try rig.acknowledge(3)
    #expect(rig.acknowledged == position && rig.committed == position)
  }

  @Test func aStandbyThatSpeaksOutOfTurnIsRefused() throws {
    for type in [1, 4, 5, 6, 7, 8, 9, 10, 11] as [UInt8] {
      let known = try #require(FrameType(rawValue: type))
      let rig = Rig()
      rig.attach()
      var stream = IncomingStream()
      #expect(throws: ProtocolError.unexpected(known)) {
        try Wire.give(Wire.frame(type, Wire.number(1)), to: &stream) { _ = try rig.source.receive($0) }
      }
    }
  }

  @Test func aFrameOfANewerMinorVersionIsSkipped() throws {
    let rig = Rig()
    rig.attach()
    let before = rig.source.acknowledged
    var stream = IncomingStream()
    try Wire.give(Wire.frame(200, Wire.number(.max)), to: &stream) {
      let completes = try rig.source.receive($0)
      #expect(!completes)
    }
    #expect(rig.acknowledged == before)
  }

  @Test func theStandbysRefusalIsSaid() throws {
    let rig = Rig()
    rig.attach()
    var stream = IncomingStream()
    #expect(throws: ProtocolError.refused("not you")) {
      try Wire.give(Wire.frame(.refuse, Array("not you".utf8)), to: &stream) { _ = try rig.source.receive($0) }
    }
    #expect(throws: ProtocolError.malformed(.acknowledge)) {
      try Wire.give(Wire.frame(.acknowledge, [0, 0, 1]), to: &stream) { _ = try rig.source.receive($0) }
    }
  }

  /// A standby that is slower than the traffic makes the active host stop taking packets in, and start again.
  @Test func aSlowStandbyMakesTheSourceCongested() throws {
    let rig = Rig()
    let id = rig.register(1, .init(input: 0, output: 0))
    let ledger = try #require(rig.book[id])
    rig.attach()
    try rig.settle()
    #expect(!rig.isCongested)
    let header = SegmentHeader(
      sequence: SequenceNumber(1), acknowledgement: SequenceNumber(1), window: 1, flags: .ack)
    let payload = [UInt8](repeating: 0, count: 60_000)
    // The transport takes nothing: the stream's memory is the bound.
    for _ in 0..<200 where !rig.source.isCongested {
      payload.withUnsafeBytes { rig.source.record(.ingress(header, $0), in: ledger) }
    }
    #expect(rig.isCongested)
    #expect(rig.unsentCount < 9 << 20)
    // The transport takes all, and the standby folds nothing: what it has not acknowledged is.
    var rounds = 0
    while rounds < 2000 {
      rounds += 1
      rig.source.outgoing.consume(.max)
      if rig.source.isCongested { break }
      payload.withUnsafeBytes { rig.source.record(.ingress(header, $0), in: ledger) }
    }
    #expect(rig.isCongested)
    #expect(rig.lag < 65 << 20)
    try rig.acknowledge(rig.source.outgoing.position)
    #expect(!rig.isCongested)
  }

  /// A large sync is produced as the transport takes it, and not as a whole.
  @Test func aSyncKeepsPaceWithTheTransport() throws {
    let rig = Rig()
    for seed in 0..<400 as Range<UInt64> {
      let id = rig.register(seed, .init(input: 0, output: 0))
      let bytes = [UInt8](repeating: 1, count: 9000)
      let state = try #require(rig.book[id]).state
      bytes.withUnsafeBytes {
        let header = SegmentHeader(
          sequence: state.sndNxt, acknowledgement: state.rcvNxt, window: 1000, flags: .ack)
        rig.book[id]?.apply(.egress(header, $0, at: 0))
      }
    }
    rig.attach()
    var most = 0
    var rounds = 0
    while rig.source.phase == .syncing {
      rounds += 1
      _ = rig.pump()
      most = max(most, rig.source.outgoing.unsentCount)
      try rig.transfer(limit: 200_000)
      try rig.acknowledge()
    }
    #expect(rounds > 10)
    #expect(most < 2 << 20, "of 3.6 MB")
    rig.compare("after a long sync")
  }

  /// The standby had acknowledged everything when it went, and what leaves after that is on nobody's record.
  @Test func nothingLeavesWithoutAStandbyThoughAllWasAcknowledged() throws {
    let rig = Rig()
    let id = rig.register(1)
    rig.attach()
    try rig.settle()
    #expect(rig.lag == 0 && rig.committed == rig.position)
    rig.detach()
    let before = rig.lastPacket
    for _ in 0..<60 { rig.step(id) }
    rig.letGo()
    #expect(rig.lastPacket > before)
    #expect(rig.waitingCount == Int(rig.lastPacket - before), "all of them wait")
    rig.attach()
    try rig.settle()
    #expect(rig.waitingCount == 0)
  }

  /// Packets that waited for a standby that is gone wait for the next one, and for its whole sync.
  @Test func whatWaitsSurvivesTheStandby() throws {
    let rig = Rig()
    let id = rig.register(1)
    rig.attach()
    try rig.settle()
    for _ in 0..<60 { rig.step(id) }
    let waiting = rig.source.gate.waitingCount
    #expect(waiting > 0)
    rig.detach()
    rig.letGo()
    #expect(rig.waitingCount == waiting)
    for _ in 0..<60 { rig.step(id) }
    #expect(rig.waitingCount > waiting)
    rig.attach()
    #expect(!rig.gateIsOpen)
    try rig.settle()
    #expect(rig.waitingCount == 0)
    #expect(rig.released.last == rig.lastPacket)
    rig.compare("after the second sync")
  }
}
