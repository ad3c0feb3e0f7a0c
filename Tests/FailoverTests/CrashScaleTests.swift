import Lab
import Testing

/// Many connections at once.
@Suite(.serialized)
struct CrashScaleTests {
  @Test(arguments: [1, 100], Shape.allCases)
  func allConnectionsGoOn(connections: Int, shape: Shape) throws {
    var dice = Dice()
    var failover = Failover(shape: shape, connections: connections)
    failover.crashAtRandom(&dice)
    try expectUnbroken(failover, "seed \(dice.seed)")
  }

  @Test(arguments: zip([Shape.both, .pingpong, .idle], [Addresses.service4, Addresses.service6, Addresses.service4]))
  func aThousandConnectionsGoOn(shape: Shape, address: String) throws {
    var dice = Dice()
    var failover = Failover(shape: shape, connections: 1000)
    failover.address = address
    // So many are more than two processors carry in time: what is late must not look dead.
    failover.daemon.deadAfter = "1s"
    failover.isMoreThanProcessorsCarry = true
    failover.crashAtRandom(&dice)
    let outcome = try expectUnbroken(failover, "seed \(dice.seed)")
    #expect(outcome.takeover.restoredConnections == 1000)
  }
}
