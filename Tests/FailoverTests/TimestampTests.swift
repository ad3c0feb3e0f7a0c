import Lab
import Synchronization
import Testing

/// The timestamps of a restored connection go on where the dead host's stopped, however far that is from the new host's clock.
@Suite(.serialized)
struct TimestampTests {
  /// The kernel gives each connection an offset of its own at random: of many, some lie far ahead and some far behind.
  @Test func clocksThatAreFarApartEitherWayDoNotMatter() throws {
    var dice = Dice()
    var failover = Failover(shape: .pingpong, connections: 40)
    var before: [String: Int] = [:]
    failover.beforeCrash = { pair, _ in
      let connections = try pair.alpha.connections()
      before = Dictionary(uniqueKeysWithValues: connections.map { ($0.peer, $0.timestampOffset) })
      #expect(connections.allSatisfy { $0.timestampUnit == "ms" })
      #expect(connections.contains { Int32(truncatingIfNeeded: $0.timestampOffset) > 1 << 20 })
      #expect(connections.contains { Int32(truncatingIfNeeded: $0.timestampOffset) < -(1 << 20) })
    }
    failover.afterTakeover = { pair, _ in
      for connection in try pair.beta.connections() {
        let former = try #require(before[connection.peer])
        // Both hosts of the laboratory have one clock, so the offset is what it was, but for the time that the last records took.
        let moved = Int32(truncatingIfNeeded: connection.timestampOffset - former)
        #expect((-50...50).contains(moved), "\(connection.peer) moved by \(moved)")
      }
    }
    failover.crashAtRandom(&dice)
    try expectUnbroken(failover, "seed \(dice.seed)")
  }

  /// - Parameter ticks: how long before the end of the range the clocks are set.
  @Test(arguments: [300, 600, 1500] as [UInt32], [Shape.pingpong, .both])
  func clocksMayPassTheEndOfTheirRange(ticks: UInt32, shape: Shape) throws {
    var failover = Failover(shape: shape, connections: 16)
    failover.server = ["--timestamp", "\(UInt32.max - ticks - ticks % 2 - 1)"]
    failover.afterTakeover = { pair, client in
      // Those whose clock could be set so far ahead without going back.
      #expect(pair.said(by: .alpha).contains { $0.hasPrefix("timestamp ") })
      let end = monotonicNow() + UInt64(ticks) * 1_000_000
      try wait(for: "the clocks to pass the end", until: .seconds(10)) { monotonicNow() >= end }
      try pair.waitForProgress(client)
    }
    try expectUnbroken(failover)
  }

  /// An odd value makes a socket count microseconds, as the route feature tcp_usec_ts does.
  @Test(arguments: [Shape.pingpong, .both])
  func microsecondsStayMicroseconds(shape: Shape) throws {
    var dice = Dice()
    var failover = Failover(shape: shape, connections: 16)
    let value = UInt32.random(in: 0 ... .max, using: &dice) | 1
    failover.server = ["--timestamp", "\(value)"]
    var before: [String: String] = [:]
    failover.beforeCrash = { pair, _ in
      before = Dictionary(uniqueKeysWithValues: try pair.alpha.connections().map { ($0.peer, $0.timestampUnit) })
      #expect(before.values.contains("us"))
    }
    failover.afterTakeover = { pair, _ in
      let after = Dictionary(uniqueKeysWithValues: try pair.beta.connections().map { ($0.peer, $0.timestampUnit) })
      #expect(before == after)
    }
    failover.crashAtRandom(&dice)
    try expectUnbroken(failover, "seed \(dice.seed)")
  }

  /// A switch, or the dead host's own kernel while it looked for a neighbour, has kept packets for longer than the takeover took: their
  /// timestamps are older than what the peer has had since, and it throws them away (PAWS).
  @Test(arguments: [Shape.download, .upload, .both])
  func packetsOfTheDeadHostThatComeBehindItsSuccessorsDoNoHarm(_ shape: Shape) throws {
    var failover = Failover(shape: shape)
    let network = Mutex<Disturbance?>(nil)
    failover.prepare = { topology in
      let made = try Disturbance(topology, .none, from: .alpha, dice: Dice(seed: 1))
      network.withLock { $0 = made }
    }
    var held = 0
    failover.beforeCrash = { _, _ in
      let network = try #require(network.withLock { $0 })
      network.hold(true)
      try wait(for: "packets of alpha's: \(network.counts)", until: .seconds(20)) { network.counts.held > 10 }
    }
    failover.afterTakeover = { pair, client in
      let network = try #require(network.withLock { $0 })
      let before = client.progress.least
      try wait(for: "beta to go on\(pair.explanation)", until: .seconds(20)) {
        client.progress.least > before + 500_000
      }
      held = network.counts.held
      network.hold(false)
      try wait(for: "the late packets: \(network.counts)", until: .seconds(10)) { network.counts.held == 0 }
    }
    try expectUnbroken(failover)
    #expect(held > 10)
  }

  /// What the others would look like if the clock were not restored: they can fail.
  @Test func aClockThatGoesBackStallsThePeer() throws {
    var failover = Failover(shape: .pingpong, connections: 2)
    failover.serverOnBeta = ["--stale-timestamps"]
    failover.patience = 4
    let outcome = try failover.run()
    #expect(outcome.check.timestampsBackwards > 0)
    #expect(outcome.report.failures.count == 2, "\(outcome.violations)")
  }
}
