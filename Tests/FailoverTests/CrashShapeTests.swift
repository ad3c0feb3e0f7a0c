import Glibc
import Lab
import Testing

/// The active host dies in the middle of each kind of traffic, at random instants. `make soak` does the same for longer.
@Suite(.serialized)
struct CrashShapeTests {
  @Test(arguments: Shape.allCases, [Addresses.service4, Addresses.service6])
  func aStreamGoesOnWheneverItsHostDies(shape: Shape, address: String) throws {
    var dice = Dice()
    for round in 1...3 {
      var failover = Failover(shape: shape, connections: Int(dice.pick(1...20)))
      failover.address = address
      failover.crashAtRandom(&dice)
      try expectUnbroken(failover, "round \(round) of seed \(dice.seed)")
    }
  }

  /// Here the two hosts are the limit, and not the network: queues are full at every place when the crash comes.
  @Test(arguments: [Shape.download, .upload, .both])
  func aStreamAtFullSpeedGoesOn(shape: Shape) throws {
    var dice = Dice()
    var failover = Failover(shape: shape, connections: 2)
    failover.lanRate = nil
    failover.crashAfter = 40_000_000
    failover.goal = 40_000_000
    failover.crashAtRandom(&dice)
    let takeover = try expectUnbroken(failover, "seed \(dice.seed)").takeover
    #expect(takeover.claimed <= takeover.restored && takeover.restored <= takeover.released, "\(takeover)")
    // More was under way than a socket may send at first: the peers were asked how much of it they have.
    if shape != .upload { #expect(takeover.claimed < takeover.probed && takeover.probed <= takeover.released) }
  }

  @Test func aConnectionThatSpokeAndFellSilentSpeaksAgain() throws {
    var failover = Failover(shape: .idle, connections: 5)
    failover.beforeCrash = { _, client in
      client.setSpeaking(true)
      try wait(for: "requests", until: .seconds(20)) { client.progress.least >= 64 * 20 }
      client.setSpeaking(false)
      try wait(for: "silence", until: .seconds(20)) { client.progress.received == client.progress.sent }
    }
    let takeover = try expectUnbroken(failover).takeover
    #expect(takeover.probed == 0, "nothing was under way, and no peer was asked: \(takeover)")
  }

  /// The service's socket has data that it may not send, and an application that has written more.
  @Test func aPeerWithAClosedWindowAtTheCrashOpensItLater() throws {
    var failover = Failover(shape: .download, connections: 3)
    failover.client.receiveBuffer = 32768
    failover.beforeCrash = { pair, client in
      client.setReading(false)
      try pair.waitForTimer("persist", on: .alpha, connections: 3)
    }
    failover.afterTakeover = { pair, client in
      try pair.waitForTimer("persist", on: .beta, connections: 3)
      client.setReading(true)
    }
    try expectUnbroken(failover)
  }

  /// The announcement that the window is open again is lost with the host to which it was sent.
  @Test func aPeerThatOpensItsWindowWhileNobodyIsThereIsAskedForIt() throws {
    var failover = Failover(shape: .download, connections: 3)
    failover.client.receiveBuffer = 32768
    failover.daemon.deadAfter = "600ms"
    failover.beforeCrash = { pair, client in
      client.setReading(false)
      try pair.waitForTimer("persist", on: .alpha, connections: 3)
    }
    failover.duringOutage = { pair, client in
      client.setReading(true)
      let before = client.progress.received
      try wait(for: "the client to read what it has", until: .seconds(5)) { client.progress.received > before }
    }
    try expectUnbroken(failover)
  }

  /// All that the peer may send lies in the dead host's socket, unread: the peer waits for a window from its successor.
  @Test func anApplicationThatDidNotReadLosesNoInput() throws {
    var failover = Failover(shape: .upload, connections: 3)
    failover.crashAfter = 1
    failover.lanRate = nil
    failover.beforeCrash = { pair, _ in
      pair.server(on: .alpha)?.signal(SIGSTOP)
      try pair.waitForTimer("persist", on: nil, connections: 3)
    }
    try expectUnbroken(failover)
  }
}
