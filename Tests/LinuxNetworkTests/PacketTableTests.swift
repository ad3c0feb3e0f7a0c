import Glibc
import Lab
@testable import LinuxNetwork
import SystemPackage
import TCPModel
import Testing

/// The packet table takes the packets of the flows that it is given and nothing else.
@Suite struct PacketTableTests {
  private static let rules = TableRules(pair: "web", ingressQueue: 20, egressQueue: 21)

  private func flow(_ line: Line) throws -> Flow { try line.dump().state.flow }

  @Test(arguments: Wire.Kind.allCases)
  func onlyTheFlowsOfTheTableGoThroughTheQueues(_ kind: Wire.Kind) throws {
    let wire = try Wire()
    let (ours, other) = (try wire.connect(kind, port: 7000), try wire.connect(kind, port: 7001))
    let table = try wire.host.run { try PacketTable() }
    try table.replace(with: [Self.rules], flows: ["web": [try flow(ours)]])
    #expect(try table.flows() == ["web": [try flow(ours)]])
    #expect(try table.isIntact(sample: ["web": [try flow(ours)]]))
    #expect(try !table.isIntact(sample: ["web": [try flow(other)]]))
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
      _ = try queue.receive { packet in
        queues.insert(packet.queue)
        if let segment = try? Segment.parse(packet.bytes) {
          ports.insert(packet.queue == 20 ? segment.destination.port : segment.source.port)
        }
        #expect(throws: Never.self) { try queue.accept(packet.id, in: packet.queue) }
      }
    }
    #expect(ports == [7000] && queues == [20, 21])
    // Out of the set it passes as any other.
    try table.change("web", adding: [], removing: [try flow(ours)])
    try ours.hostReadsAll()
    try ours.exchange()
    try other.exchange()
    try table.remove()
    #expect(try Tool.run("nft", ["list", "ruleset"], in: wire.host) == "")
    try wire.expectNoHarm()
  }
}
