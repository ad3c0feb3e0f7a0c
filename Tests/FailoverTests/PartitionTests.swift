import Glibc
import Lab
import TCPModel
import Testing

/// Both hosts live and cannot hear each other, or one of them stands still for long: never two that send.
@Suite(.serialized)
struct PartitionTests {
  private typealias Streams = FailureDetectionTests.Streams

  private func cutOff(_ pair: ProtectedPair) throws {
    for host in HostName.allCases {
      try pair.topology.drop(on: host, "-i", "rep0")
      try pair.topology.drop(on: host, "-i", "eth0", "-p", "udp", "--dport", "7412")
    }
  }

  private func mend(_ pair: ProtectedPair) throws {
    for host in HostName.allCases {
      try pair.topology.accept(on: host, "-i", "rep0")
      try pair.topology.accept(on: host, "-i", "eth0", "-p", "udp", "--dport", "7412")
    }
  }

  /// The synced standby goes on; the other one, alive and on the same network as the clients, has been mute since.
  @Test func withHoldTheStandbyGoesOnAndTheOtherIsMute() throws {
    var options = DaemonHost.Options()
    options.soloPolicy = "hold"
    let streams = try Streams(options)
    let pair = streams.pair
    try cutOff(pair)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0, "\(pair.explanation)")
    let address = try pair.topology.linkAddress(of: .alpha)
    let packets = try pair.topology.capture(bytes: 128, filter: "tcp and ether src \(address)")
    try streams.goOn()
    #expect(try pair.alpha.status().pairs.first?.role == "active", "nobody has told it")
    try mend(pair)
    try pair.waitUntilSynced(active: .beta)
    try streams.goOn()
    try expectNone(packets.packetsSeen())
    #expect(pair.alpha.log.contains("fenced"))
    try streams.crash(.beta)
    try expectNone(streams.end())
  }

  /// What the standby had acknowledged before it went on arrives when the replication link works again and no heartbeat has come yet:
  /// what waited for it is of the past.
  @Test func anAcknowledgementThatComesLateLetsNothingGo() throws {
    var options = DaemonHost.Options()
    options.soloPolicy = "hold"
    let streams = try Streams(options)
    let pair = streams.pair
    let heartbeats = ["-p", "udp", "--dport", "7412"]
    let records = ["-i", "rep0", "-p", "tcp"]
    for host in HostName.allCases {
      try pair.topology.drop(on: host, heartbeats)
      try pair.topology.drop(on: host, records)
    }
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 6 && takeover.lostConnections == 0, "\(pair.explanation)")
    let address = try pair.topology.linkAddress(of: .alpha)
    let packets = try pair.topology.capture(bytes: 128, filter: "tcp and ether src \(address)")
    for host in HostName.allCases { try pair.topology.accept(on: host, records) }
    // The end of the session comes behind its acknowledgements.
    try wait(for: "the session's end\(pair.explanation)", until: .seconds(30)) {
      pair.alpha.log.contains("standby lost")
    }
    try streams.goOn()
    #expect(try pair.alpha.status().pairs.first?.role == "active", "nobody has told it")
    for host in HostName.allCases { try pair.topology.accept(on: host, heartbeats) }
    try pair.waitUntilSynced(active: .beta)
    try expectNone(packets.packetsSeen())
    try streams.crash(.beta)
    try expectNone(streams.end())
  }

  /// Longer than a receive buffer has room for heartbeats: what the host reads first when it goes on is all from before.
  @Test func aHostThatStoodStillForLongSaysNothing() throws {
    // Its kernel answers for the addresses all the while, which with the policy to allow would keep the standby from taking over.
    var options = DaemonHost.Options()
    options.soloPolicy = "hold"
    let streams = try Streams(options)
    let pair = streams.pair
    let address = try pair.topology.linkAddress(of: .alpha)
    pair.alpha.process?.signal(SIGSTOP)
    try pair.waitForTakeover()
    try streams.goOn()
    try FailureDetectionTests.passes(22_000_000_000)
    try streams.goOn()
    let packets = try pair.topology.capture(bytes: 128, filter: "tcp and ether src \(address)")
    pair.alpha.process?.signal(SIGCONT)
    try pair.waitUntilSynced(active: .beta)
    try streams.goOn()
    try expectNone(packets.packetsSeen())
    #expect(pair.alpha.log.contains("fenced"))
    try streams.crash(.beta)
    try expectNone(streams.end())
  }
}
