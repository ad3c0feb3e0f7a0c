import Glibc
import Lab
import LinuxNetwork
@testable import TCPModel
import Testing

/// A client that sends what no kernel sends, to a connection that is protected.
@Suite(.serialized)
struct HostileInputTests {
  private let pattern = Pattern(seed: 23)

  /// Leaves the next byte of the client's stream out, and sends so many single ones at every second sequence number behind it.
  private func sendHoles(_ count: Int, on ends: ContractBench.Ends, of bench: ContractBench) throws {
    let state = try RepairSnapshot.dump(ends.peer.socket.number).state
    let bytes = pattern.bytes(0..<UInt64(2 * count))
    let sender = try bench.topology.client.run { try RawSender() }
    for offset in stride(from: 1, to: bytes.count, by: 2) {
      let header = SegmentHeader(
        sequence: state.sndNxt + offset, acknowledgement: state.rcvNxt, window: 0xffff, flags: .ack)
      try sender.send(
        SegmentBuilder.packet(from: state.flow.local, to: state.flow.peer, header, bytes[offset...offset]))
    }
  }

  /// How many segments the kernel has been given for a connection: tcpi_segs_in, at its place in struct tcp_info (Linux 4.2).
  private func segmentsIn(_ stream: Stream) throws -> Int {
    var info = [UInt8](repeating: 0, count: 144)
    var length = socklen_t(info.count)
    let result = getsockopt(stream.socket.number, Int32(IPPROTO_TCP), TCP_INFO, &info, &length)
    try #require(result == 0 && length == 144)
    return info.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: 140, as: UInt32.self)) }
  }

  private func talk(_ ends: ContractBench.Ends) throws {
    try ends.server.send(Array("talk".utf8))
    #expect(try ends.peer.receive(4) == Array("talk".utf8))
  }

  private func expectProtection(
    _ ends: ContractBench.Ends, received: Int, consumed: Int, on bench: ContractBench
  ) throws {
    for host in [bench.alpha, bench.beta] {
      try bench.wait(for: "\(received) bytes on \(host.name)\n\(bench.beta.log)", of: ends.id, on: host) {
        $0.protected && $0.received == received && $0.consumed == consumed
      }
    }
  }

  /// The hosts keep count of so many holes and drop what would make another: it costs neither them nor other connections
  /// anything, and a standby that comes later is brought up to date. The client's own kernel then sends what its raw socket
  /// has left out, and what was dropped; nobody could tell that from a lossy network.
  @Test func holesWithoutEndKeepNoStandbyAway() throws {
    let bench = try ContractBench()
    let other = try bench.protected()
    let hostile = try bench.protected()
    try other.peer.send(pattern.bytes(0..<10_000))
    #expect(try other.server.receive(4000) == pattern.bytes(0..<4000))

    let before = try segmentsIn(hostile.server)
    try sendHoles(5000, on: hostile, of: bench)
    // This goes the same way behind them: the daemon has seen them all when it has arrived.
    try other.peer.send(pattern.bytes(10_000..<12_000))
    #expect(try other.server.receive(8000) == pattern.bytes(4000..<12_000))
    #expect(try segmentsIn(hostile.server) - before == Islands.limit)

    try #require(bench.beta.process).stop()
    try other.peer.send(pattern.bytes(12_000..<15_000))
    #expect(try other.server.receive(1000) == pattern.bytes(12_000..<13_000))
    try bench.beta.start()
    try bench.beta.waitUntil(role: "standby", replication: "synced")
    try bench.alpha.waitUntil(role: "active", replication: "synced")
    try talk(other)
    try expectProtection(other, received: 15_000, consumed: 13_000, on: bench)
    try expectProtection(hostile, received: 0, consumed: 0, on: bench)

    try hostile.peer.send(pattern.bytes(0..<20_000))
    #expect(try hostile.server.receive(15_000) == pattern.bytes(0..<15_000))
    try talk(hostile)
    try expectProtection(hostile, received: 20_000, consumed: 15_000, on: bench)

    try bench.topology.crash(.alpha)
    let expected = [other.id: (other, 13_000 as UInt64, 15_000 as UInt64), hostile.id: (hostile, 15_000, 20_000)]
    let adopter = try bench.beta.control()
    try adopter.send("Adopt", AdoptParameters(service: "contract"), more: true)
    for _ in expected {
      let adopted: AdoptResult = try adopter.receive()
      let server = Stream(TCPSocket(owning: try adopter.takeDescriptor(adopted.fd)))
      let (ends, consumed, received) = try #require(expected[adopted.connection.id])
      #expect(try server.receive(Int(received - consumed)) == pattern.bytes(consumed..<received))
      try ends.peer.send(pattern.bytes(received..<received + 50_000))
      #expect(try server.receive(50_000) == pattern.bytes(received..<received + 50_000))
      try server.send(pattern.bytes(0..<50_000))
      #expect(try ends.peer.receive(50_000) == pattern.bytes(0..<50_000))
    }
  }
}
