import Glibc
import Lab
import TCPModel
import Testing

/// What a connection and its host look like after a takeover, from outside the daemon.
@Suite(.serialized)
struct RestoredSocketTests {
  @Test(arguments: [Addresses.service4, Addresses.service6])
  func aRestoredSocketIsAsFastAsTheOldOne(address: String) throws {
    for shape in [Shape.download, .upload] {
      var failover = Failover(shape: shape, connections: 2)
      failover.address = address
      failover.lanRate = nil
      failover.crashAfter = 20_000_000
      var before: [ServiceSocket] = []
      failover.beforeCrash = { pair, _ in before = try pair.sockets(on: .alpha, shape: shape) }
      failover.afterTakeover = { pair, client in
        try pair.waitForProgress(client, bytes: 20_000_000)
        let after = try pair.sockets(on: .beta, shape: shape)
        #expect(after.count == 2 && after.map(\.peer) == before.map(\.peer))
        for (old, new) in zip(before, after) {
          #expect(new.number("mss") == old.number("mss"), "\(old.info)\n\(new.info)")
          #expect(new.number("pmtu") == old.number("pmtu"))
          #expect(new.scales == old.scales)
          for option in [" ts ", " sack ", " cubic ", " bbr ", " reno "] {
            #expect(new.info.contains(option) == old.info.contains(option), "\(option): \(new.info)")
          }
          // Both began small and were tuned by the kernel: a locked buffer would have stayed.
          let key = shape == .download ? "tb" : "rb"
          let (oldSize, newSize) = (try #require(old.memory(key)), try #require(new.memory(key)))
          #expect(newSize * 4 >= oldSize, "\(key): \(oldSize), then \(newSize)")
        }
      }
      try expectUnbroken(failover)
    }
  }

  /// A restored socket's timeouts are short at first. How long its kernel bears a silent peer goes by them, and is its own again: a
  /// client that is away when the host dies is still there after half a minute.
  @Test func aPeerThatIsAwayDuringATakeoverIsWaitedFor() throws {
    let pair = try ProtectedPair { try $0.limit("100mbit") }
    try pair.startServers()
    let client = try pair.connect(.download, connections: 2)
    try pair.waitForProgress(client, bytes: 1_000_000)
    let cut = { (action: String) in
      for chain in ["INPUT", "OUTPUT"] {
        try Tool.run("iptables", ["-w", action, chain, "-p", "tcp", "-j", "DROP"], in: pair.topology.client)
      }
    }
    try cut("-I")
    try pair.topology.crash(.alpha)
    let takeover = try pair.waitForTakeover()
    #expect(takeover.restoredConnections == 2 && takeover.lostConnections == 0)
    // What is in flight counts as sent: nobody could be asked.
    #expect(try pair.sockets(on: .beta, shape: .download).count == 2)
    try FailureDetectionTests.passes(20_000_000_000)
    #expect(try pair.sockets(on: .beta, shape: .download).count == 2, "\(pair.explanation)")
    try cut("-D")
    let before = client.progress.least
    try wait(for: "the streams to go on\(pair.explanation)", until: .seconds(60)) {
      if let failure = client.progress.firstFailure { throw LabError("\(failure)\(pair.explanation)") }
      return client.progress.least > before + 1_000_000
    }
    client.finish()
    try expectNone(client.report(until: .seconds(60)).failures)
  }

  /// What a takeover sets to have lost output sent soon is not left on a socket, whatever becomes of the daemon and of the connection.
  @Test(arguments: ["released", "its daemon crashes"])
  func theHasteOfATakeoverIsNotLeftOnASocket(_ fate: String) throws {
    let longestTimeout: Int32 = 44  // TCP_RTO_MAX_MS
    var options = DaemonHost.Options()
    options.isManaged = true
    let bench = try ContractBench(options)
    var ends = try bench.connect()
    try ends.server.socket.setTCP(longestTimeout, 30_000)
    ends = try bench.protected(ends)
    // More in flight than a connection begins with, and a peer that answers nothing: what it lacks counts as sent.
    try ends.server.send([UInt8](repeating: 1, count: 200_000))
    _ = try ends.peer.receive(200_000)
    try Tool.run("iptables", ["-w", "-I", "INPUT", "-p", "tcp", "-j", "DROP"], in: bench.topology.client)
    try ends.server.send([UInt8](repeating: 2, count: 40_000))
    try bench.wait(for: "the output", of: ends.id, on: bench.beta) { $0.sent == 240_000 }
    try bench.topology.crash(.alpha)
    let (adopted, socket) = try bench.adopt(on: bench.beta)
    #expect(adopted.connection.id == ends.id)
    switch fate {
    case "released":
      #expect(try socket.socket.getTCP(longestTimeout) == 1000)
      let _: Nothing = try bench.beta.control().call("Release", ReleaseParameters(id: ends.id, how: "keep"))
      #expect(try socket.socket.getTCP(longestTimeout) == 30_000)
    default:
      try bench.beta.crashAndRestart {
        let meanwhile = try socket.socket.getTCP(longestTimeout)
        #expect(meanwhile == 1000)
      }
      try wait(for: "the application's timeout\(bench.beta.log)", until: .seconds(20)) {
        try socket.socket.getTCP(longestTimeout) == 30_000
      }
      #expect(try bench.beta.connections().map(\.id) == [ends.id])
    }
  }

  /// Repair mode clears SO_REUSEADDR; with one such connection alive nobody could bind its port again.
  @Test func anApplicationThatRestartsCanBindItsPortOnEitherHost() throws {
    let streams = try FailureDetectionTests.Streams()
    let pair = streams.pair
    // The daemon holds the connections while the application is away.
    pair.server(on: .alpha)?.kill()
    try pair.startServer(on: .alpha)
    #expect(try pair.alpha.connections().count == 6)
    try streams.crash(.alpha)
    // And here, with the connections that it had adopted alive.
    pair.server(on: .beta)?.kill()
    try pair.startServer(on: .beta)
    #expect(try pair.beta.connections().count == 6)
    let client = try PatternClient(in: pair.topology.client, to: pair.service(), shape: .both)
    client.finish(at: 500_000)
    try expectNone(client.report(until: .seconds(30)).failures)
  }

  @Test func newConnectionsWorkAndOldOnesThatNobodyRegisteredAreReset() throws {
    let streams = try FailureDetectionTests.Streams()
    let pair = streams.pair
    let other = try LabProcess.start(
      Products.path(of: "pattern-server"), ["--port", "7100"], in: pair.alpha.namespace)
    try wait(for: "the other server", until: .seconds(20)) { other.standardOutput.contains("serving") }
    let unregistered = try [Addresses.service4, Addresses.service6].flatMap { address in
      try [Shape.pingpong, .upload].map { shape in
        try PatternClient(in: pair.topology.client, to: Endpoint(address, 7100), shape: shape, connections: 2)
      }
    }
    for client in unregistered { try pair.waitForProgress(client) }
    try streams.crash(.alpha)
    for client in unregistered {
      let report = try client.report(until: .seconds(20))
      #expect(report.failures.count == 2 && report.failures.allSatisfy { $0.contains("reset") }, "\(report.failures)")
    }
    for address in [Addresses.service4, Addresses.service6] {
      let client = try PatternClient(
        in: pair.topology.client, to: Endpoint(address, ProtectedPair.port), shape: .both, connections: 5)
      client.finish(at: 500_000)
      try expectNone(client.report(until: .seconds(30)).failures)
    }
    try streams.goOn()
  }

  /// What is sent to a neighbour that must be found first can be overtaken by what is sent when it has been found.
  @Test(arguments: [Addresses.service4, Addresses.service6])
  func theStandbyKnowsTheNeighboursThatItsFirstPacketsWillGoThrough(address: String) throws {
    let client = address == Addresses.service4 ? "10.77.0.9" : "fd77::9"
    var failover = Failover(shape: .upload)
    failover.address = address
    failover.beforeCrash = { pair, _ in
      try wait(for: "the client among beta's neighbours", until: .seconds(10)) {
        try Tool.run("ip", "-n", pair.topology.beta.name, "neigh", "show").contains("\(client) dev eth0 lladdr")
      }
    }
    try expectUnbroken(failover)
  }

  @Test func anIdleConnectionCostsNoReplication() throws {
    let pair = try ProtectedPair()
    try pair.startServers()
    let client = try pair.connect(.idle, connections: 20)
    client.setSpeaking(true)
    try pair.waitForProgress(client)
    client.setSpeaking(false)
    try wait(for: "silence", until: .seconds(20)) { client.progress.received == client.progress.sent }
    // The last samples and acknowledgements.
    try wait(for: "the last samples", until: .seconds(10)) {
      try pair.alpha.connections().allSatisfy { $0.consumed == $0.received && $0.unacknowledged == 0 }
    }
    try Streams.passes(1_000_000_000)
    let stream = try PacketCapture(in: pair.alpha.namespace, interface: "rep0", filter: "tcp port 7411")
    let heartbeats = try PacketCapture(in: pair.alpha.namespace, interface: "rep0", filter: "udp port 7412")
    // A minute of the sampler's slowest pace would show it, and so do some seconds of its fastest.
    try Streams.passes(3_000_000_000)
    let check = try CaptureCheck(stream.stop(), isService: { $0.port == 7411 })
    #expect(check.total(\.bytesFromService) == 0 && check.total(\.bytesFromClient) == 0)
    var count = 0
    try heartbeats.stop().forEachFrame { _ in count += 1 }
    #expect(count > 20)
    client.setSpeaking(true)
    client.finish(at: client.progress.least + 640)
    try expectNone(client.report(until: .seconds(20)).failures)
  }

  private typealias Streams = FailureDetectionTests
}
