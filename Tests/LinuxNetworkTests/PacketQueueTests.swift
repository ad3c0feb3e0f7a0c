import Glibc
import Lab
@testable import LinuxNetwork
import SystemCalls
import SystemPackage
import TCPModel
import Testing

/// Packets out of the kernel, whole and in order, and the verdicts on them.
@Suite struct PacketQueueTests {
  private static let number: UInt16 = 7

  /// Sends what leaves the host to the queue.
  private func divert(_ wire: Wire, _ transport: String, to queue: UInt16 = number, _ match: String...) throws {
    try Tool.run(
      "iptables",
      ["-w", "-t", "mangle", "-A", "POSTROUTING", "-o", "eth0", "-p", transport] + match
        + ["-j", "NFQUEUE", "--queue-num", "\(queue)"], in: wire.host)
  }

  /// Numbered datagrams from the host to the peer.
  private struct Datagrams {
    let sender: DatagramSocket
    let receiver: DatagramSocket

    init(_ wire: Wire, port: UInt16 = 4000) throws {
      let (from, to) = (
        Endpoint(address: Wire.address(1, .v4), port: port), Endpoint(address: Wire.address(9, .v4), port: port)
      )
      sender = try wire.host.run { try DatagramSocket(local: from, peer: to) }
      receiver = try wire.peer.run { try DatagramSocket(local: to, peer: from) }
    }

    func send(_ numbers: Range<UInt8>) { for number in numbers { sender.send([number, 0, 0, 0]) } }

    /// The numbers of those that have arrived.
    func arrived() -> [UInt8] {
      var numbers: [UInt8] = []
      while let datagram = receiver.receive() { numbers += datagram.prefix(1) }
      return numbers
    }
  }

  private func receive(_ count: Int, from queue: PacketQueue) throws -> [UInt32] {
    var ids: [UInt32] = []
    try wait(for: "\(count) packets", until: .seconds(10)) {
      _ = try queue.receive { ids.append($0.id) }
      return ids.count >= count
    }
    return ids
  }

  @Test func aBatchVerdictLetsGoAPrefix() throws {
    let wire = try Wire()
    let queue = try wire.host.run { try PacketQueue(queues: [Self.number]) }
    let datagrams = try Datagrams(wire)
    try divert(wire, "udp")
    datagrams.send(0..<10)
    let ids = try receive(10, from: queue)
    #expect(ids == (0..<10).map { ids[0] + $0 })
    #expect(datagrams.arrived() == [])
    try queue.acceptAll(upTo: ids[4], in: Self.number)
    var arrived: [UInt8] = []
    try wait(for: "the first five", until: .seconds(10)) {
      arrived += datagrams.arrived()
      return arrived.count >= 5
    }
    // One is lost, the next goes alone, the rest is lost in one batch, and what comes later passes.
    try queue.drop(ids[5], in: Self.number)
    try queue.accept(ids[6], in: Self.number)
    try queue.dropAll(upTo: ids[9], in: Self.number)
    datagrams.send(10..<11)
    try queue.accept(try receive(1, from: queue)[0], in: Self.number)
    try wait(for: "the last", until: .seconds(10)) {
      arrived += datagrams.arrived()
      return arrived.last == 10
    }
    #expect(arrived == [0, 1, 2, 3, 4, 6, 10])
  }

  @Test func aPacketMayGoOnWithOtherContents() throws {
    let wire = try Wire()
    let queue = try wire.host.run { try PacketQueue(queues: [Self.number]) }
    let datagrams = try Datagrams(wire)
    try divert(wire, "udp")
    datagrams.send(0..<2)
    var packets: [(id: UInt32, bytes: [UInt8])] = []
    try wait(for: "two packets", until: .seconds(10)) {
      _ = try queue.receive { packets.append(($0.id, Array($0.bytes))) }
      return packets.count >= 2
    }
    for (id, bytes) in packets {
      var changed = bytes
      changed[28] += 100
      // A UDP checksum of 0 is none (RFC 768).
      changed.replaceSubrange(26..<28, with: [0, 0])
      try queue.accept(id, in: Self.number, as: changed)
    }
    var arrived: [UInt8] = []
    try wait(for: "both", until: .seconds(10)) {
      arrived += datagrams.arrived()
      return arrived.count >= 2
    }
    #expect(arrived == [100, 101])
  }

  /// More than one read takes.
  @Test func manyPacketsComeInOrder() throws {
    let wire = try Wire()
    let queue = try wire.host.run { try PacketQueue(queues: [Self.number]) }
    let datagrams = try Datagrams(wire)
    try divert(wire, "udp")
    datagrams.send(0..<200)
    var numbers: [UInt8] = []
    try wait(for: "200 packets", until: .seconds(10)) {
      // IP and UDP headers come before the number.
      let count = try queue.receive { numbers.append($0.bytes[28]) }
      #expect(count <= PacketQueue.batch)
      return numbers.count == 200
    }
    #expect(numbers == (0..<200).map { UInt8($0) })
    #expect(queue.overruns == 0)
  }

  @Test func twoQueuesAreReadInTheOrderOfTheirPackets() throws {
    let wire = try Wire()
    let queue = try wire.host.run { try PacketQueue(queues: [Self.number, Self.number + 1]) }
    let (left, right) = (try Datagrams(wire, port: 4000), try Datagrams(wire, port: 5000))
    try divert(wire, "udp", to: Self.number, "--dport", "4000")
    try divert(wire, "udp", to: Self.number + 1, "--dport", "5000")
    for number in 0..<20 as Range<UInt8> {
      (number % 3 == 0 ? right : left).send(number..<number + 1)
    }
    var seen: [(queue: UInt16, number: UInt8)] = []
    try wait(for: "20 packets", until: .seconds(10)) {
      _ = try queue.receive { seen.append(($0.queue, $0.bytes[28])) }
      return seen.count == 20
    }
    #expect(seen.map(\.number) == (0..<20).map { UInt8($0) })
    #expect(seen.allSatisfy { $0.queue == Self.number + ($0.number % 3 == 0 ? 1 : 0) })
  }

  /// What the kernel would cut into segments only on the way out of the interface comes as one packet.
  @Test func segmentsComeWhole() throws {
    let wire = try Wire()
    // A window large enough for one such packet from the start.
    try wire.host.ip("route", "replace", "10.77.0.0/24", "dev", "eth0", "initcwnd", "100")
    let line = try wire.connect()
    var largest = 0
    var unreadable = 0
    let queue = try wire.host.run { try PacketQueue(queues: [Self.number]) }
    try divert(wire, "tcp")
    try line.exchangeWhile(bytes: 2_000_000) {
      var last: UInt32?
      _ = try queue.receive { packet in
        last = packet.id
        largest = max(largest, packet.bytes.count)
        #expect(!packet.isTruncated)
        if (try? Segment.parse(packet.bytes)) == nil { unreadable += 1 }
      }
      if let last { try queue.acceptAll(upTo: last, in: Self.number) }
    }
    #expect(unreadable == 0)
    #expect(largest > 60_000)
    #expect(queue.overruns == 0)
    try wire.expectNoHarm()
  }

  /// A reader that does not keep up: the kernel says that it dropped packets, and TCP sends them again.
  @Test func overrunsAreCountedAndSurvived() throws {
    let wire = try Wire()
    let queue = try wire.host.run { try PacketQueue(queues: [Self.number], bufferSize: 4096) }
    let datagrams = try Datagrams(wire)
    try divert(wire, "udp")
    for _ in 0..<20 { datagrams.send(0..<100) }
    var count = 0
    try wait(for: "the kernel to say so", until: .seconds(10)) {
      count += try queue.receive { _ in }
      return queue.overruns > 0
    }
    while case let more = try queue.receive({ _ in }), more > 0 { count += more }
    #expect(count > 0 && count < 2000)
    // Connections live on it.
    let line = try wire.connect()
    try divert(wire, "tcp")
    try line.exchangeWhile(bytes: 300_000) {
      var last: UInt32?
      _ = try queue.receive { last = $0.id }
      if let last { try queue.acceptAll(upTo: last, in: Self.number) }
    }
    try wire.expectNoHarm()
  }

  @Test func aQueueHasOneReader() throws {
    let wire = try Wire()
    try wire.host.run {
      let first = try PacketQueue(queues: [Self.number])
      let failure = #expect(throws: SystemCallError.self) { try PacketQueue(queues: [Self.number]) }
      #expect(failure?.subject.hasPrefix("queue \(Self.number), which another process reads already") == true)
      #expect(failure?.errno == .notPermitted)
      withExtendedLifetime(first) {}
      // Another namespace has queues of its own.
    }
    _ = try wire.peer.run { try PacketQueue(queues: [Self.number]) }
  }

  /// Fail closed: what waits is dropped with its reader, and what comes later finds nobody.
  @Test func withoutAReaderNothingLeaves() throws {
    let wire = try Wire()
    let datagrams = try Datagrams(wire)
    try divert(wire, "udp")
    do {
      let queue = try wire.host.run { try PacketQueue(queues: [Self.number]) }
      datagrams.send(0..<5)
      _ = try receive(5, from: queue)
    }
    datagrams.send(5..<10)
    // Whoever reads next has what comes from then on.
    let queue = try wire.host.run { try PacketQueue(queues: [Self.number]) }
    datagrams.send(10..<11)
    let ids = try receive(1, from: queue)
    #expect(ids.count == 1)
    try queue.acceptAll(upTo: ids[0], in: Self.number)
    var arrived: [UInt8] = []
    try wait(for: "the last", until: .seconds(10)) {
      arrived += datagrams.arrived()
      return !arrived.isEmpty
    }
    #expect(arrived == [10])
  }
}
