import Modelling
import Replication
import TCPModel
import Testing

/// The standby's ledgers are the active host's, whenever it has folded what was sent.
@Suite struct ReplicaTests {
  /// Connections come, talk and go while standbys come and go; whenever one is synced and has read everything it holds exactly
  /// what the active host holds, however the transport cuts the stream and whoever lends its payload.
  @Test(arguments: 0..<40)
  func aStandbyThatJoinsUnderTrafficHoldsWhatTheActiveHostHolds(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let rig = Rig(gateIsOpen: random.chance(50))
    var nextSeed = seed * 1000
    var comparisons = 0
    for step in 0..<3000 {
      let connections = rig.models.keys.sorted()
      switch random.below(1000) {
      case 0..<12 where connections.count < 12:
        nextSeed += 1
        rig.register(
          nextSeed,
          .init(
            input: random.below(6000), output: random.below(6000), inputCloses: random.chance(50),
            outputCloses: random.chance(50), wraps: random.chance(50)))
      case 12..<16: if let id = connections.randomElement(using: &random) { rig.release(id) }
      case 16..<18 where rig.source.phase != .detached: rig.detach()
      case 18..<28 where rig.source.phase == .detached: rig.attach()
      case 28..<120:
        if rig.source.phase != .detached, random.chance(70) { _ = rig.pump() }
        try rig.transfer(limit: random.below(random.chance(20) ? 100_000 : 900))
      case 120..<220: if rig.isGreeted, rig.source.phase != .detached { try rig.acknowledge() }
      case 220..<224 where rig.source.phase == .synced:
        try rig.settle()
        rig.compare("seed \(seed), step \(step)")
        comparisons += 1
      case 224..<230:
        if let id = connections.randomElement(using: &random), let ledger = rig.book[id] {
          rig.source.record(.options(Sample.options(&random)), in: ledger)
        }
      default: if let id = connections.randomElement(using: &random) { rig.step(id, lending: random.chance(50)) }
      }
      rig.now += UInt64(random.below(1000))
    }
    if rig.phase == .detached { rig.attach() }
    try rig.settle()
    rig.compare("seed \(seed), the end")
    #expect(rig.waitingCount == 0)
  }

  @Test func aSyncReplacesWhatWasKnown() throws {
    let rig = Rig()
    let gone = rig.register(1)
    rig.register(2)
    rig.attach()
    try rig.settle()
    #expect(rig.replica.ledgers.count == 2)
    rig.detach()
    rig.release(gone)
    rig.attach()
    #expect(rig.replica.isComplete, "what was complete stays usable until the next sync begins")
    try rig.transfer()
    #expect(!rig.replica.isComplete && rig.replica.ledgers.count == 0)
    try rig.settle()
    rig.compare("after the second sync")
  }

  /// With the buffers of a long fat network a ledger is longer than a frame; it goes over in parts.
  @Test func aLedgerMayBeLongerThanAFrame() throws {
    let rig = Rig()
    let id = rig.register(1)
    rig.register(2)
    let ledger = try #require(rig.book[id])
    let payload = [UInt8](repeating: 7, count: 1 << 20)
    for _ in 0..<(Frame.bodyLimit >> 20) + 1 {
      let header = SegmentHeader(
        sequence: ledger.output.sndNxt, acknowledgement: ledger.state.rcvNxt, window: 1000, flags: .ack)
      payload.withUnsafeBytes { ledger.apply(.egress(header, $0, at: rig.now)) }
    }
    #expect(ledger.image.state.sendQueue.count > Frame.bodyLimit)
    rig.attach()
    try rig.settle()
    rig.compare("after the sync")
    // And as one that comes into being while the standby follows.
    _ = rig.source.register(ledger, now: rig.now)
    try rig.settle()
    rig.compare("after it was told anew")
    // A channel that breaks in the middle of it leaves nothing behind.
    _ = rig.source.register(ledger, now: rig.now)
    try rig.transfer(limit: 3 * Frame.baselineShare)
    rig.detach()
    rig.attach()
    try rig.settle()
    rig.compare("after another sync")
  }

  @Test func partsOfALedgerStayTogether() throws {
    let rig = Rig()
    let id = rig.register(1)
    let body = try #require(rig.book[id]).image.encoded(now: 0)
    let (first, second) = (Array(body.prefix(100)), Array(body.dropFirst(100)))
    func fold(_ frames: [UInt8]...) throws -> Replica {
      var replica = Replica()
      var stream = IncomingStream()
      for frame in frames { try Wire.give(frame, to: &stream) { _ = try replica.fold($0, now: 1) } }
      return replica
    }
    let part = Wire.frame(.baselinePart, connection: id, first)
    let end = Wire.frame(.baseline, connection: id, second)
    #expect(try fold(part, end).ledgers[id] != nil)
    #expect(try fold(part, Wire.frame(.syncBegin), Wire.frame(.baseline, connection: id, body)).ledgers[id] != nil)
    #expect(throws: ProtocolError.malformed(.release)) { _ = try fold(part, Wire.frame(.release, connection: id), end) }
    #expect(throws: ProtocolError.malformed(.syncEnd)) { _ = try fold(part, Wire.frame(.syncEnd)) }
    #expect(throws: ProtocolError.malformed(.baseline)) {
      _ = try fold(part, Wire.frame(.baseline, connection: id &+ 1, second))
    }
    #expect(throws: ProtocolError.malformed(.baselinePart)) {
      _ = try fold(part, Wire.frame(.baselinePart, connection: id &+ 1, second))
    }
    #expect(throws: ProtocolError.malformed(.baseline)) { _ = try fold(part, part, end) }
    #expect(throws: ProtocolError.malformed(.baseline)) { _ = try fold(end) }
  }

  @Test func takingTheLedgersLeavesNothing() throws {
    let rig = Rig()
    rig.register(1)
    rig.attach()
    try rig.settle()
    #expect(rig.replica.takeLedgers().count == 1)
    #expect(rig.replica.ledgers.count == 0 && !rig.replica.isComplete)
  }

  @Test func goodbyesAreHandedOn() throws {
    for kind in [Goodbye.leaving, .handover] {
      var replica = Replica()
      let event = try Wire.read(.goodbye, [kind.rawValue, 9, 9]) { try replica.fold($0, now: 0) }
      guard case .goodbye(let read) = event else { Issue.record("\(kind): \(String(describing: event))"); return }
      #expect(read == kind)
    }
    var replica = Replica()
    for body in [[], [0], [77]] as [[UInt8]] {
      #expect(throws: ProtocolError.malformed(.goodbye)) {
        try Wire.read(.goodbye, body) { try replica.fold($0, now: 0) }
      }
    }
  }

  /// Records of a connection that is not known are of one that was released, or of a sync's future: they say nothing.
  @Test func recordsOfUnknownConnectionsAreIgnored() throws {
    var replica = Replica()
    let expected: [(FrameType, Replica.Event?)] = [
      (.ingress, .recorded(isAwaited: false)), (.egress, .recorded(isAwaited: true)),
      (.consumed, .recorded(isAwaited: false)), (.release, nil),
    ]
    for (type, expected) in expected {
      let event = try Wire.read(type, connection: 5, [UInt8](repeating: 1, count: 40)) {
        try replica.fold($0, now: 0)
      }
      #expect(event == expected)
    }
    #expect(replica.ledgers.count == 0)
  }

  @Test func framesOfANewerMinorVersionAreSkipped() throws {
    let rig = Rig()
    let id = rig.register(1)
    rig.attach()
    try rig.settle()
    var stream = IncomingStream()
    for type in [3, 100, 255] as [UInt8] {
      try Wire.give(Wire.frame(type, connection: id, [1, 2, 3]), to: &stream) { frame in
        let event = try rig.replica.fold(frame, now: 0)
        #expect(event == nil)
      }
    }
    rig.compare("after unknown frames")
  }

  @Test func aSourceThatSpeaksOutOfTurnIsRefused() throws {
    for type in [FrameType.hello, .acknowledge] {
      var replica = Replica()
      #expect(throws: ProtocolError.unexpected(type)) {
        try Wire.read(type, [UInt8](repeating: 0, count: 40)) { try replica.fold($0, now: 0) }
      }
    }
    var replica = Replica()
    #expect(throws: ProtocolError.refused("go away")) {
      try Wire.read(.refuse, Array("go away".utf8)) { try replica.fold($0, now: 0) }
    }
  }

  /// A ledger under another connection's number would be released and acknowledged as that one.
  @Test func aBaselineOfAnotherConnectionIsRefused() throws {
    var random = SeededGenerator(seed: 9)
    let image = Sample.image(&random)
    var replica = Replica()
    #expect(throws: ProtocolError.malformed(.baseline)) {
      try Wire.read(.baseline, connection: image.identity.id &+ 1, image.encoded(now: 0)) {
        try replica.fold($0, now: 0)
      }
    }
  }
}
