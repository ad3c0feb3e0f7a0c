import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import TCPModel
import Testing

/// What the kernel does with a connection's packets while the reader of its queue ends and another one begins: a daemon that starts
/// again stands on it.
@Suite struct RestartedReaderTests {
  private static let ingress: UInt16 = 8
  private static let number: UInt16 = 9

  private func table(_ wire: Wire, _ line: Line) throws -> PacketTable {
    let flow = try SocketInspection.flow(line.host.number).flow
    return try wire.host.run {
      let table = try PacketTable(owned: false)
      try table.replace(
        with: [TableRules(pair: "web", ingressQueue: Self.ingress, egressQueue: Self.number)], flows: ["web": [flow]])
      return table
    }
  }

  private func reader(_ wire: Wire) throws -> PacketQueue {
    try wire.host.run { try PacketQueue(queues: [Self.ingress, Self.number]) }
  }

  /// - Returns: bytes of payload that wanted to leave.
  private func acceptWhatWaits(_ queue: PacketQueue) throws -> Int {
    var last: [UInt16: UInt32] = [:]
    var bytes = 0
    while try queue.receive({
      last[$0.queue] = $0.id
      if $0.queue == Self.number, let segment = try? Segment.parse($0.bytes) {
        bytes += segment.payload(in: $0.bytes).count
      }
    }) > 0 {}
    for (queueNumber, id) in last { try queue.acceptAll(upTo: id, in: queueNumber) }
    return bytes
  }

  /// Rules that drop, with or without a reader, do not make the socket believe that something was sent.
  @Test func whatIsRefusedDoesNotCountAsSent() throws {
    let wire = try Wire()
    let line = try wire.connect()
    // Nagle's algorithm is not to hold anything back.
    try line.host.setTCP(TCP_NODELAY, 1)
    let table = try table(wire, line)
    var queue: PacketQueue? = try reader(wire)
    try line.hostWrites(1000)
    try table.setMute(true, pair: "web")
    try line.hostWrites(500)
    func unsent() throws -> Int { try SocketQueues.unsent(line.host.number) }
    #expect(try unsent() == 500)
    // What was there before can still be read, and nothing came behind it.
    #expect(try acceptWhatWaits(try #require(queue)) == 1000)
    queue = nil
    try line.hostWrites(250)
    #expect(try unsent() == 750)
    // The next reader finds all of it, from where the former one's knowledge ended.
    let next = try reader(wire)
    try table.setMute(false, pair: "web")
    var recorded = 0
    try wait(for: "the rest to come through the queue and to arrive", until: .seconds(20)) {
      recorded += try acceptWhatWaits(next)
      return try SocketQueues.unacknowledged(line.host.number) == 0
    }
    #expect(recorded >= 750)
    try line.peerReadsAll()
    try wire.expectNoHarm()
  }

  @Test func aLiveProbeIsOnePacketAndLeavesTheSocketAsItWas() throws {
    let wire = try Wire()
    let line = try wire.connect()
    try line.exchange()
    try SocketOption.reuseAddress.set(line.host.number, 1)
    let table = try table(wire, line)
    let queue = try reader(wire)
    try LiveProbe.send(on: line.host.number)
    var headers: [SegmentHeader] = []
    try wait(for: "the probe", until: .seconds(10)) {
      _ = try queue.receive { packet in
        guard packet.queue == Self.number, let segment = try? Segment.parse(packet.bytes) else { return }
        headers.append(segment.header)
        try? queue.accept(packet.id, in: Self.number)
      }
      return !headers.isEmpty
    }
    #expect(headers.count == 1 && headers[0].flags == .ack)
    #expect(try SocketOption.reuseAddress.get(line.host.number) == 1)
    #expect(try SocketOption.repair.get(line.host.number) == 0)
    try table.remove()
    try line.exchange()
    try wire.expectNoHarm()
  }
}
