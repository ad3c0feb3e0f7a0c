import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import SystemPackage
import TCPModel
import Testing

/// What other kernels than this machine's have: VRFs, and `queue` of nf_tables itself.
@Suite struct TableVRFTests {
  /// A socket in a VRF: its packets pass some hooks twice, and the queues once.
  @Test(arguments: [Wire.Kind.v4, .v6], [true, false])
  func aSocketInAVRFIsHeldOnce(_ kind: Wire.Kind, _ hasQueueingDiscipline: Bool) throws {
    let wire = try Wire()
    do {
      try wire.host.ip("link", "add", "blue", "type", "vrf", "table", "10")
    } catch {
      // This kernel has none. Debian's has, and this test runs there.
      try #require(!OtherKernel.isThis, "\(error)")
      guard kind == .v4, hasQueueingDiscipline else { return }
      let output = try OtherKernel.output()
      #expect(
        output.contains(#/Test aSocketInAVRFIsHeldOnce\(.*\) with 4 test cases passed/#), "\(output)")
      return
    }
    try wire.host.ip(
      batch: """
        link set blue up
        link set eth0 master blue
        addr replace fd77::1/64 dev eth0 nodad

        """)
    // Either way out of the VRF's device: past its queueing discipline, or through one.
    if hasQueueingDiscipline { try Tool.run("tc", ["qdisc", "add", "dev", "blue", "root", "pfifo"], in: wire.host) }
    try wire.host.setSysctl("net.ipv4.tcp_l3mdev_accept", "1")
    // One that listens for all, and takes what comes out of the VRF as well.
    let listener = try wire.host.run {
      try TCPSocket.listen(on: Endpoint(address: IPAddress(v6High: 0, low: 0), port: Wire.port), dualStack: true)
    }
    let client = try wire.peer.run { try TCPSocket.connect(to: Wire.service(kind)) }
    var accepted: TCPSocket?
    try wait(for: "a connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    let line = Line(wire: wire, host: try #require(accepted), peer: client, listener: listener)
    let table = try TableBench.table(wire, try line.flow)
    let family = kind == .v6 ? "ip6" : "ip"
    try Tool.run(
      "nft", ["-f", "-"],
      input: """
        add table \(family) others
        add chain \(family) others in { type filter hook input priority 0 ; }
        add chain \(family) others out { type filter hook postrouting priority 0 ; }
        add rule \(family) others in tcp dport 7000 counter
        add rule \(family) others out oifname eth0 tcp sport 7000 counter

        """, in: wire.host)
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    var queued = (ingress: 0, egress: 0)
    // Of such a packet the first hook is told the device behind the VRF already (ip6_xmit of Linux 6.1); the second time it is one
    // that is known.
    let passes = kind == .v6 && hasQueueingDiscipline ? 2 : 1
    try line.exchangeWhile(bytes: 20_000) {
      try TableBench.pass(queue) { $0.queue == 20 ? (queued.ingress += 1) : (queued.egress += 1) }
    }
    try line.peerWrites(1000)
    try wait(for: "each packet to be held once", until: .seconds(20)) {
      try TableBench.pass(queue) { $0.queue == 20 ? (queued.ingress += 1) : (queued.egress += 1) }
      let seen = try Tool.run("nft", ["list", "table", family, "others"], in: wire.host).split(separator: "\n")
        .compactMap { line -> Int? in
          let words = line.split(separator: " ")
          return words.firstIndex(of: "packets").flatMap { Int(words[$0 + 1]) }
        }
      return queued.ingress > 0 && seen.count == 2 && seen[0] == queued.ingress && seen[1] * passes == queued.egress
    }
    withExtendedLifetime(table) {}
    #expect(try line.host.information.bytes_received == 1000)
    try wire.expectNoHarm()
  }

  /// All that is said of the packet table holds under another kernel, too, which hands packets over in another way.
  @Test func theTableIsTheSameUnderAnotherKernel() throws {
    if OtherKernel.isThis {
      let wire = try Wire()
      let table = try TableBench.table(wire)
      #expect(table.handover == .queue)
      return
    }
    let output = try OtherKernel.output()
    for suite in [
      "PacketTableTests", "TableOwnershipTests", "TableWatchTests", "TableTrafficTests", "TableVRFTests",
    ] { #expect(output.contains("Suite \(suite) passed"), "\(output)") }
  }
}
