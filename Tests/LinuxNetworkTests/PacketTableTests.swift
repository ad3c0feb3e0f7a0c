import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import SystemPackage
import TCPModel
import Testing

/// The packet table takes the packets of the flows that it is given and nothing else.
@Suite struct PacketTableTests {
  private static let rules = TableBench.rules

  @Test(arguments: Wire.Kind.allCases)
  func onlyTheFlowsOfTheTableGoThroughTheQueues(_ kind: Wire.Kind) throws {
    let wire = try Wire()
    let (ours, other) = (try wire.connect(kind, port: 7000), try wire.connect(kind, port: 7001))
    let table = try TableBench.table(wire, try ours.flow)
    #expect(try table.flows() == ["web": [try ours.flow]])
    // Nobody reads: the one is mute and deaf, the other flows.
    try ours.hostWrites(1000)
    try ours.peerWrites(1000)
    try other.exchange(100_000)
    #expect(throws: LabError.self) { try ours.peerReadsAll(within: 0.2) }
    #expect(throws: LabError.self) { try ours.hostReadsAll(within: 0.2) }
    // With a reader it flows too, in both directions, and only its packets come along.
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    var ports: Set<UInt16> = []
    var queues: Set<UInt16> = []
    try ours.exchangeWhile(bytes: 20_000) {
      try TableBench.pass(queue) { packet in
        queues.insert(packet.queue)
        if let segment = try? Segment.parse(packet.bytes) {
          ports.insert(packet.queue == 20 ? segment.destination.port : segment.source.port)
        }
      }
    }
    #expect(ports == [7000] && queues == [20, 21])
    // Out of the set it passes as any other.
    try table.change("web", adding: [], removing: [try ours.flow])
    try ours.hostReadsAll()
    try ours.exchange()
    try other.exchange()
    try wire.expectNoHarm()
  }

  @Test func nothingRemainsOfARemovedTable() throws {
    let wire = try Wire()
    try Tool.run("nft", ["add", "table", "inet", "others"], in: wire.host)
    let before = try TableBench.ruleset(wire.host)
    let line = try wire.connect()
    let table = try TableBench.table(wire, try line.flow)
    #expect(try TableBench.ruleset(wire.host).contains("web-flows4"))
    try table.remove()
    #expect(try TableBench.ruleset(wire.host) == before)
    // There is nothing to remove any more, and that is no error.
    try table.remove()
    #expect(try table.flows() == [:])
    #expect(try TableBench.ruleset(wire.host) == before)
    try line.exchange()
  }

  @Test func aTableReplacesAnotherAsAWhole() throws {
    let wire = try Wire()
    let line = try wire.connect()
    let (a, b) = (try line.flow, Flow(local: Wire.service(.v6), peer: Endpoint(address: Wire.address(9, .v6), port: 9)))
    let table = try TableBench.table(wire, a)
    let other = TableRules(pair: "db-2.b_c", ingressQueue: 30, egressQueue: 31)
    let numeric = TableRules(pair: "-0", ingressQueue: 40, egressQueue: 41)
    try table.replace(with: [other, numeric], flows: ["db-2.b_c": [b], "-0": [a, b], "web": [a]])
    #expect(try table.flows() == ["db-2.b_c": [b], "-0": [a, b]])
    #expect(try table.isIntact(sample: ["db-2.b_c": [b], "-0": [a, b]]))
    #expect(try !table.isIntact(sample: ["db-2.b_c": [a]]))
    #expect(try !table.isIntact(sample: ["web": []]))
    let ruleset = try TableBench.ruleset(wire.host)
    #expect(!ruleset.contains("web-") && ruleset.contains("chain _-0-in"))
    // nft(8) shows the target in one way and the statement in the other.
    #expect(ruleset.contains("queue num 31") || ruleset.contains("queue to 31"))
    try table.replace(with: [], flows: [:])
    #expect(try table.flows() == [:] && table.isIntact(sample: [:]))
    try line.exchange()
  }

  /// What is in the table is named after pairs; another text would be another's name.
  @Test(arguments: ["", "a b", "a\"", "ä", String(repeating: "a", count: 65)])
  func aPairNeedsANameThatCanBeAChainsName(_ name: String) throws {
    let wire = try Wire()
    let table = try wire.host.run { try PacketTable() }
    let failure = #expect(throws: PacketTableError.self) {
      try table.replace(with: [TableRules(pair: name, ingressQueue: 1, egressQueue: 2)], flows: [:])
    }
    #expect(failure?.errno == .invalidArgument)
    #expect(try TableBench.ruleset(wire.host) == "")
    let unknown = #expect(throws: PacketTableError.self) { try table.change(name, adding: [], removing: []) }
    #expect(unknown?.description.contains("it is not in the packet table") == true)
  }

  /// A dropped packet that wants to leave does not count as sent; one whose queue nobody reads does.
  @Test(arguments: [Wire.Kind.v4, .v6]) func aMutePairDropsAndItsSocketsKnow(_ kind: Wire.Kind) throws {
    let wire = try Wire()
    let line = try wire.connect(kind)
    let table = try TableBench.table(wire, try line.flow)
    try table.setMute(true, pair: "web")
    #expect(try table.isIntact(sample: ["web": [try line.flow]]))
    try line.hostWrites(1000)
    try line.peerWrites(1000)
    #expect(throws: LabError.self) { try line.peerReadsAll(within: 0.2) }
    var information = try line.host.information
    #expect(information.unacked == 0 && information.notsent_bytes == 1000)
    #expect(try line.host.information.bytes_received == 0)
    #expect(try TableBench.ruleset(wire.host).contains("comment \"mute\""))
    // Twice is the same as once, and a table may be mute from the start.
    try table.setMute(true, pair: "web")
    var mute = Self.rules
    mute.isMute = true
    try table.replace(with: [mute], flows: ["web": [try line.flow]])
    #expect(try table.isIntact(sample: ["web": [try line.flow]]))
    try table.setMute(false, pair: "web")
    #expect(try !TableBench.ruleset(wire.host).contains("mute"))
    #expect(try table.isIntact(sample: ["web": [try line.flow]]))
    try wait(for: "the packet to be sent into the queue", until: .seconds(20)) {
      information = try line.host.information
      return information.unacked == 1 && information.notsent_bytes == 0
    }
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    try line.exchangeWhile(bytes: 2000) { try TableBench.pass(queue) }
    try wire.expectNoHarm()
  }

  /// A peer on the host itself, and what a takeover says to its own sockets.
  @Test func loopbackIsExcepted() throws {
    let wire = try Wire()
    let listener = try wire.host.run { try TCPSocket.listen(on: Wire.service()) }
    let client = try wire.host.run { try TCPSocket.connect(to: Wire.service()) }
    var accepted: TCPSocket?
    try wait(for: "a connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    let (near, far) = (try #require(client.localEndpoint), try #require(client.peerEndpoint))
    let table = try TableBench.table(wire, Flow(local: near, peer: far), Flow(local: far, peer: near))
    #expect(try client.write(Array("x".utf8)) == 1)
    var byte: [UInt8] = [0]
    try wait(for: "a byte over the loopback", until: .seconds(10)) { try accepted?.read(&byte) == 1 }
    #expect(try TableBench.counts(wire.host) == (0, 0))
    withExtendedLifetime(table) {}
  }

  /// A socket that nobody has any more: what the kernel itself has to say of the flow is held as well.
  @Test func theFlowIsHeldWithoutASocketToo() throws {
    let wire = try Wire()
    let line = try wire.connect()
    let table = try TableBench.table(wire, try line.flow)
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    try line.vanish()
    try line.peerWrites(10)
    // The segment is let in, no socket is found, and the reset waits.
    var reset = false
    try wait(for: "the reset", until: .seconds(10)) {
      _ = try queue.receive { packet in
        if packet.queue == 20 {
          #expect(throws: Never.self) { try queue.accept(packet.id, in: 20) }
        } else if let segment = try? Segment.parse(packet.bytes) {
          reset = reset || segment.header.flags.contains(.rst)
        }
      }
      return reset
    }
    #expect(try TCPInfo(line.peer.number).state == .established)
    withExtendedLifetime(table) {}
  }
}

extension TCPSocket {
  fileprivate func write(_ bytes: [UInt8]) throws -> Int? { try bytes.withUnsafeBytes { try write($0) } }
  fileprivate func read(_ bytes: inout [UInt8]) throws -> Int? {
    try bytes.withUnsafeMutableBytes { try read(into: $0) }
  }
}
