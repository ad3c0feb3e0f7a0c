import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import SystemCalls
import SystemPackage
import TCPModel
import Testing

/// Which packets the packet table takes on hosts that do more than answer: it takes its flows' packets once each and leaves
/// everything of others as it is.
@Suite struct TableTrafficTests {
  // MARK: Rules of others

  /// Everybody else's rules see each packet, the first hook's and the last one's, whatever they do to marks.
  @Test(arguments: [Wire.Kind.v4, .v6], [true, false])
  func rulesOfOthersCountEveryPacket(_ kind: Wire.Kind, _ isRegistered: Bool) throws {
    let wire = try Wire()
    let line = try wire.connect(kind)
    let table = try TableBench.table(wire, Flow(local: Wire.service(), peer: Wire.service()))
    if isRegistered { try table.change("web", adding: [try line.flow], removing: []) }
    let tool = kind == .v6 ? "ip6tables" : "iptables"
    for rule in [
      "raw PREROUTING --dport 7000 -j MARK --set-mark 5", "mangle PREROUTING --dport 7000 -j CONNMARK --restore-mark",
      "mangle PREROUTING --dport 7000 -j MARK --set-mark 5", "mangle INPUT --dport 7000 -m mark --mark 5",
      "filter INPUT --dport 7000 -m mark --mark 5 -j ACCEPT", "mangle OUTPUT --sport 7000 -j CONNMARK --restore-mark",
      "mangle OUTPUT --sport 7000 -j MARK --set-mark 1", "filter OUTPUT --sport 7000 -m mark --mark 1 -j ACCEPT",
      "mangle POSTROUTING --sport 7000 -m mark --mark 1",
    ] {
      let words = rule.split(separator: " ").map(String.init)
      try Tool.run(tool, ["-w", "-t", words[0], "-A", words[1], "-p", "tcp"] + words[2...], in: wire.host)
    }
    // An application that marks its packets, too.
    try line.host.set(SOL_SOCKET, SO_MARK, 7)
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    var queued = (ingress: 0, egress: 0)
    try line.exchangeWhile(bytes: 200_000) {
      try TableBench.pass(queue) { $0.queue == 20 ? (queued.ingress += 1) : (queued.egress += 1) }
    }
    #expect((queued.ingress > 0 && queued.egress > 0) == isRegistered)
    // The last acknowledgement may be on its way.
    try wait(for: "the same counts everywhere", until: .seconds(10)) {
      try TableBench.pass(queue) { $0.queue == 20 ? (queued.ingress += 1) : (queued.egress += 1) }
      let counts = try foreignCounts(wire.host, tool)
      let (arrived, left) = (Set(counts.prefix(5)), Set(counts.suffix(4)))
      guard counts.count == 9, arrived.count == 1, left.count == 1 else { return false }
      return !isRegistered || arrived == [queued.ingress] && left == [queued.egress]
    }
    try wire.expectNoHarm()
  }

  /// A packet that waits for its verdict while somebody's first rules come to the same hook is queued once more after it: the kernel
  /// goes on at the number that the hook function had before (nf_reinject()), and that is the queue's now. It is delayed and neither
  /// lost nor passed by.
  @Test func whatWaitsWhileAHookComesIsQueuedAgain() throws {
    let wire = try Wire()
    let line = try wire.connect(.v4)
    let table = try TableBench.table(wire, try line.flow)
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    var waiting: [UInt32] = []
    func receive() throws -> [UInt32] {
      try wait(for: "a packet", until: .seconds(10)) {
        _ = try queue.receive { if $0.queue == 21 { waiting.append($0.id) } }
        return !waiting.isEmpty
      }
      defer { waiting = [] }
      return waiting
    }
    try line.hostWrites(4)
    let first = try receive()
    try Tool.run(
      "iptables", ["-w", "-t", "mangle", "-A", "OUTPUT", "-p", "tcp", "-j", "MARK", "--set-mark", "1"], in: wire.host)
    try queue.accept(first[0], in: 21)
    let second = try receive()
    #expect(second[0] > first[0])
    // It is the same packet, and no retransmission: that would have met the rule.
    let counts = try Tool.run("iptables-save", ["-c", "-t", "mangle"], in: wire.host)
    #expect(counts.contains("[0:0] -A OUTPUT"), "\(counts)")
    try queue.accept(second[0], in: 21)
    try line.peerReadsAll()
    withExtendedLifetime(table) {}
  }

  /// The packets that each rule of the test has seen, those for what arrives first.
  private func foreignCounts(_ namespace: Namespace, _ tool: String) throws -> [Int] {
    let lines = try ["raw", "mangle", "filter"].flatMap {
      try Tool.run("\(tool)-save", ["-c", "-t", $0], in: namespace).split(separator: "\n").filter {
        $0.contains("7000")
      }
    }
    func counts(_ port: String) -> [Int] {
      lines.filter { $0.contains("--\(port) 7000") }.compactMap {
        Int($0.dropFirst().prefix { $0 != ":" })
      }
    }
    return counts("dport") + counts("sport")
  }

  // MARK: Headers

  /// - Parameter option: IPV6_HOPOPTS, IPV6_DSTOPTS.
  @Test(arguments: [54, 59] as [Int32]) func extensionHeadersHideNothing(_ option: Int32) throws {
    let wire = try Wire()
    let line = try wire.connect(.v6)
    // Next header, length, and a PadN option that fills 8 bytes.
    let header: [UInt8] = [0, 0, 1, 4, 0, 0, 0, 0]
    for socket in [line.host, line.peer] {
      try systemCall("setsockopt(\(option))") {
        setsockopt(socket.number, Int32(IPPROTO_IPV6), option, header, socklen_t(header.count))
      }
    }
    let table = try TableBench.table(wire, try line.flow)
    // Nobody reads: nothing passes.
    try line.hostWrites(100)
    try line.peerWrites(100)
    #expect(throws: LabError.self) { try line.peerReadsAll(within: 0.2) }
    #expect(throws: LabError.self) { try line.hostReadsAll(within: 0.2) }
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    var offsets: Set<Int> = []
    // In small pieces: the kernel does not cut what has such a header (Linux 6.18).
    for _ in 0..<10 {
      try line.peerWrites(100)
      try line.exchangeWhile(bytes: 500) {
        try TableBench.pass(queue) { packet in
          if let segment = try? Segment.parse(packet.bytes) { offsets.insert(segment.headerOffset) }
        }
      }
    }
    try line.hostReadsAll()
    #expect(offsets == [48])
    try wire.expectNoHarm()
    withExtendedLifetime(table) {}
  }

  // MARK: Packets that pass through

  enum Passage: CaseIterable {
    case routed
    /// With br_netfilter, as container runtimes have it: bridged packets pass iptables' hooks.
    case bridged
  }

  /// A client behind the standby: it forwards the packets of a flow that it holds for the day when it is its own.
  @Test(arguments: Passage.allCases, [Wire.Kind.v4, .v6])
  func whatPassesThroughIsNotOurs(_ passage: Passage, _ kind: Wire.Kind) throws {
    let (client, middle, server) = (try Namespace("client"), try Namespace("middle"), try Namespace("server"))
    for (end, digit) in [(client, 1), (server, 2)] {
      try middle.ip("link", "add", "eth\(digit)", "type", "veth", "peer", "name", "eth0", "netns", end.name)
      try end.ip("link", "set", "eth0", "up")
      try middle.ip("link", "set", "eth\(digit)", "up")
    }
    switch passage {
    case .routed:
      for (end, digit) in [(client, 1), (server, 2)] {
        try middle.ip(
          batch: "addr add 10.78.\(digit).1/24 dev eth\(digit)\naddr add fd78:\(digit)::1/64 dev eth\(digit) nodad\n")
        try end.ip(
          batch: """
            addr add 10.78.\(digit).9/24 dev eth0
            addr add fd78:\(digit)::9/64 dev eth0 nodad
            route add default via 10.78.\(digit).1
            route add default via fd78:\(digit)::1

            """)
      }
      try middle.setSysctl("net.ipv4.ip_forward", "1")
      try middle.setSysctl("net.ipv6.conf.all.forwarding", "1")
    case .bridged:
      try middle.ip(
        batch: """
          link add br0 type bridge
          link set eth1 master br0
          link set eth2 master br0
          link set br0 up
          addr add 10.78.2.1/16 dev br0
          addr add fd78:2::1/16 dev br0 nodad

          """)
      try middle.setSysctl("net.bridge.bridge-nf-call-iptables", "1")
      try middle.setSysctl("net.bridge.bridge-nf-call-ip6tables", "1")
      for (end, digit) in [(client, 1), (server, 2)] {
        try end.ip(batch: "addr add 10.78.\(digit).9/16 dev eth0\naddr add fd78:\(digit)::9/16 dev eth0 nodad\n")
      }
    }
    let address =
      kind == .v6 ? IPAddress(v6High: 0xfd78_0002_0000_0000, low: 9) : IPAddress(v4: 0x0a4e_0209)
    let service = Endpoint(address: address, port: 7000)
    let listener = try server.run { try TCPSocket.listen(on: service) }
    let socket = try client.run { try TCPSocket.connect(to: service) }
    var accepted: TCPSocket?
    try wait(for: "a connection through the host in the middle", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    let flow = Flow(local: service, peer: try #require(socket.localEndpoint))
    let table = try middle.run { try PacketTable() }
    // Either end's view, to be sure.
    try table.replace(
      with: [TableBench.rules], flows: ["web": [flow, Flow(local: flow.peer, peer: flow.local)]])
    var bytes = [UInt8](repeating: 7, count: 1000)
    for (from, to) in [(socket, accepted), (accepted, socket)] {
      let (from, to) = (try #require(from), try #require(to))
      #expect(try bytes.withUnsafeBytes { try from.write($0) } == 1000)
      var count = 0
      try wait(for: "1000 bytes to pass", until: .seconds(10)) {
        count += try bytes.withUnsafeMutableBytes { try to.read(into: $0) } ?? 0
        return count == 1000
      }
    }
    #expect(try TableBench.counts(middle) == (0, 0))
    // Bridged packets do pass the hooks of others.
    if passage == .bridged {
      try Tool.run(
        "nft", ["-f", "-"],
        input: """
          add table inet others
          add chain inet others post { type filter hook postrouting priority 0 ; }
          add rule inet others post tcp sport 7000 counter

          """, in: middle)
      #expect(try bytes.withUnsafeBytes { try #require(accepted).write($0) } == 1000)
      try wait(for: "a bridged packet in a rule of others", until: .seconds(10)) {
        let text = try TableBench.ruleset(middle)
        return text.contains("tcp sport 7000 counter packets") && !text.contains("tcp sport 7000 counter packets 0")
      }
      #expect(try TableBench.counts(middle) == (0, 0))
    }
  }
}
