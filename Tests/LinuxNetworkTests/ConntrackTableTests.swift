import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import SystemPackage
import TCPModel
import Testing

/// A restored connection on a host whose rules ask for the state of connections.
@Suite struct ConntrackTableTests {
  /// Connection tracking begins when a rule asks for it: connections from before have no entry, as after a takeover.
  private func track(_ wire: Wire) throws {
    for tool in ["iptables", "ip6tables"] {
      for rule in ["-m conntrack --ctstate ESTABLISHED -j ACCEPT", "-p tcp -m conntrack --ctstate INVALID -j DROP"] {
        try Tool.run(tool, ["-w", "-A", "INPUT"] + rule.split(separator: " ").map(String.init), in: wire.host)
      }
    }
  }

  private func insertFailures(_ wire: Wire) throws -> Int {
    try wire.host.run {
      let lines = try Files.read("/proc/thread-self/net/stat/nf_conntrack").split(separator: "\n")
        .map { $0.split(separator: " ") }
      let column = try #require(lines.first?.firstIndex(of: "insert_failed"))
      return lines.dropFirst().reduce(0) { $0 + (Int($1[column], radix: 16) ?? 0) }
    }
  }

  private func entry(_ wire: Wire, _ kind: Wire.Kind) throws -> String {
    try Tool.run(
      "conntrack", ["-L", "-p", "tcp", "--dport", "7000", "-f", kind == .v6 ? "ipv6" : "ipv4"], in: wire.host)
  }

  enum Case: CaseIterable {
    case withoutEntries
    case withEntries
    /// net.netfilter.nf_conntrack_tcp_loose=0: what is in the middle of a connection is invalid.
    case withEntriesAndStrict
    case withoutEntriesAndStrict

    var hasEntries: Bool { self == .withEntries || self == .withEntriesAndStrict }
    var isStrict: Bool { self == .withEntriesAndStrict || self == .withoutEntriesAndStrict }
  }

  /// Two packets of one flow wait side by side and are let go together.
  @Test(arguments: [Wire.Kind.v4, .v6], Case.allCases)
  func heldPacketsDoNotClash(_ kind: Wire.Kind, _ what: Case) throws {
    let wire = try Wire()
    let line = try wire.connect(kind)
    try line.exchange()
    let conntrack = try wire.host.run { try ConntrackTable() }
    #expect(!conntrack.isInUse)
    try track(wire)
    if what.isStrict { try wire.host.setSysctl("net.netfilter.nf_conntrack_tcp_loose", "0") }
    if what.hasEntries {
      try conntrack.insert([try line.flow])
      #expect(conntrack.isInUse)
    }
    let table = try TableBench.table(wire, try line.flow)
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    let before = try line.host.information.bytes_received
    try line.peerWrites(100)
    try line.peerWrites(100)
    if what == .withoutEntriesAndStrict {
      // The rules of the host do not let them in.
      #expect(throws: LabError.self) {
        try wait(for: "a packet", until: .seconds(0.3)) { try queue.receive { _ in } > 0 }
      }
      return
    }
    var ids: [UInt32] = []
    try wait(for: "two packets", until: .seconds(10)) {
      _ = try queue.receive { if $0.queue == 20 { ids.append($0.id) } }
      return ids.count >= 2
    }
    try queue.acceptAll(upTo: try #require(ids.last), in: 20)
    let arrived = try line.host.information.bytes_received - before
    #expect(arrived == (what.hasEntries ? 200 : 100))
    #expect(try insertFailures(wire) == (what.hasEntries ? 0 : 1))
    #expect(try entry(wire, kind).contains("ESTABLISHED"))
    // All goes on, at once with entries and after a retransmission without.
    try line.exchangeWhile(bytes: 200_000) { try TableBench.pass(queue) }
    try line.peerWrites(20_000)
    try wait(for: "the peer's bytes", until: .seconds(20)) {
      try TableBench.pass(queue)
      return try line.host.information.bytes_received - before == 20_200
    }
    #expect(try insertFailures(wire) == (what.hasEntries ? 0 : 1))
    try line.hostReadsAll()
    try wire.expectNoHarm()
    withExtendedLifetime(table) {}
  }

  @Test(arguments: [Wire.Kind.v4, .v6]) func anEntryIsAsTheKernelsOwn(_ kind: Wire.Kind) throws {
    let wire = try Wire()
    let line = try wire.connect(kind)
    try track(wire)
    try wire.host.setSysctl("net.netfilter.nf_conntrack_tcp_timeout_established", "5000")
    let conntrack = try wire.host.run { try ConntrackTable() }
    try conntrack.insert([try line.flow])
    let first = try entry(wire, kind)
    #expect(first.contains("ESTABLISHED src=\(Wire.address(9, kind)) dst=\(Wire.address(1, kind))"))
    #expect(first.contains("[ASSURED]") && !first.contains("UNREPLIED"))
    #expect(
      first.split(separator: " ").dropFirst(2).first.flatMap { Int($0) }.map { (4990...5000).contains($0) } == true)
    try line.exchange()
    // Once more, with traffic on it: it stays one entry.
    try conntrack.insert([try line.flow])
    #expect(try entry(wire, kind).split(separator: "\n").count == 1)
    try line.exchange()
    #expect(try insertFailures(wire) == 0)
    try wire.expectNoHarm()
  }

  @Test func theKernelsOwnEntryIsKept() throws {
    let wire = try Wire()
    try track(wire)
    let line = try wire.connect()
    try line.exchange()
    let conntrack = try wire.host.run { try ConntrackTable() }
    #expect(conntrack.isInUse)
    try conntrack.insert([try line.flow])
    #expect(try entry(wire, .v4).split(separator: "\n").count == 1)
    try line.exchange()
    try wire.expectNoHarm()
  }

  @Test func tenThousandEntries() throws {
    let wire = try Wire()
    try track(wire)
    try wire.host.run { try Files.write("0", to: "/proc/sys/net/netfilter/nf_conntrack_log_invalid") }
    let conntrack = try wire.host.run { try ConntrackTable() }
    let flows = (0..<10_000 as Range<UInt32>).map { number in
      number % 2 == 0
        ? Flow(local: Wire.service(), peer: Endpoint(address: IPAddress(v4: 0x0a00_0000 + number), port: 1000))
        : Flow(
          local: Wire.service(.v6),
          peer: Endpoint(address: IPAddress(v6High: 0xfd77 << 48, low: UInt64(number) + 100), port: 1000))
    }
    try conntrack.insert(flows)
    #expect(try wire.host.sysctl("net.netfilter.nf_conntrack_count") == "10000")
    try conntrack.insert(flows)
    #expect(try wire.host.sysctl("net.netfilter.nf_conntrack_count") == "10000")
    try conntrack.insert([])
  }
}
