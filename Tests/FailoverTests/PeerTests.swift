import Lab
import Testing

/// Peers whose TCP is not like ours, and networks that are not good.
@Suite(.serialized)
struct PeerTests {
  enum Peer: String, CaseIterable, CustomTestStringConvertible {
    case withoutTimestamps, withoutSelectiveAcknowledgements, withoutWindowScaling, withNoneOfThem
    var testDescription: String { rawValue }

    var sysctls: [String] {
      switch self {
      case .withoutTimestamps: ["net.ipv4.tcp_timestamps"]
      case .withoutSelectiveAcknowledgements: ["net.ipv4.tcp_sack"]
      case .withoutWindowScaling: ["net.ipv4.tcp_window_scaling"]
      case .withNoneOfThem: ["net.ipv4.tcp_timestamps", "net.ipv4.tcp_sack", "net.ipv4.tcp_window_scaling"]
      }
    }

    /// What `ss -i` shows of such connections, and does not.
    var absent: [String] {
      switch self {
      case .withoutTimestamps: [" ts "]
      case .withoutSelectiveAcknowledgements: [" sack "]
      case .withoutWindowScaling: [" wscale:"]
      case .withNoneOfThem: [" ts ", " sack ", " wscale:"]
      }
    }
  }

  @Test(arguments: Peer.allCases, [Shape.download, .both, .pingpong])
  func aPeerGoesOn(_ peer: Peer, shape: Shape) throws {
    var dice = Dice()
    var failover = Failover(shape: shape, connections: 4)
    failover.prepare = { topology in
      for key in peer.sysctls { try topology.client.setSysctl(key, "0") }
    }
    let check = { (pair: ProtectedPair, host: HostName) in
      let sockets = try pair.sockets(on: host, shape: shape)
      #expect(sockets.count == 4)
      for socket in sockets {
        // A restored socket that has none shows a scale of 0.
        let info = socket.info.replacing(" wscale:0,0 ", with: " ")
        for word in [" ts ", " sack ", " wscale:"] {
          #expect(info.contains(word) != peer.absent.contains(word), "\(host): \(info)")
        }
      }
    }
    failover.beforeCrash = { pair, _ in try check(pair, .alpha) }
    failover.afterTakeover = { pair, _ in try check(pair, .beta) }
    failover.crashAtRandom(&dice)
    try expectUnbroken(failover, "seed \(dice.seed)")
  }

  @Test(arguments: [536, 100] as [Int32], [Shape.download, .both, .pingpong])
  func aPeerWithSmallSegmentsGoesOn(segment: Int32, shape: Shape) throws {
    var dice = Dice()
    var failover = Failover(shape: shape, connections: 4)
    failover.client.maximumSegment = segment
    failover.slowDown()
    var before: [Int] = []
    failover.beforeCrash = { pair, _ in before = try pair.sockets(on: .alpha, shape: shape).map(\.maximumSegment) }
    failover.afterTakeover = { pair, _ in
      let after = try pair.sockets(on: .beta, shape: shape).map(\.maximumSegment)
      #expect(before == after && after.allSatisfy { $0 <= Int(segment) }, "\(before), then \(after)")
    }
    failover.crashAtRandom(&dice)
    try expectUnbroken(failover, "seed \(dice.seed)")
  }

  @Test(arguments: Shape.allCases, [Addresses.service4, Addresses.service6])
  func aBadNetworkDuringTheCrashLosesNothing(shape: Shape, address: String) throws {
    var dice = Dice()
    let (seed, disturbanceDice) = (dice.seed, dice)
    var failover = Failover(shape: shape, connections: 4)
    failover.address = address
    failover.slowDown()
    var disturbance: Disturbance?
    let prepare = failover.prepare
    failover.prepare = {
      try prepare($0)
      disturbance = try Disturbance($0, dice: disturbanceDice)
    }
    failover.crashAtRandom(&dice)
    try expectUnbroken(failover, "seed \(seed)")
    let counts = try #require(try disturbance?.stop())
    if shape != .idle { #expect(counts.lost > 0 && counts.doubled > 0 && counts.late > 0, "\(counts)") }
  }
}
