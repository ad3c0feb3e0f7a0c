import Glibc
import Lab
@testable import LinuxNetwork
import SystemPackage
import TCPModel
import Testing

/// The rules reach registered sockets and nothing else, and leave as if they had never been there; through either of iptables' ways
/// into the kernel.
@Suite struct PacketRulesTests {
  typealias Backend = PacketRules.Backend
  static let backends: [Backend] = [.nft, .legacy]

  private static let ours = PairRules(
    addresses: [Wire.address(1, .v4), Wire.address(1, .v6)], mark: PacketMark(value: 0x100, mask: 0xff00),
    ingressQueue: 20,
    egressQueue: 21, claim: false)

  private func tables(_ wire: Wire, _ backend: Backend) throws -> [String] {
    try ["iptables", "ip6tables"].flatMap { tool in
      try Tool.run("\(tool)\(backend.infix)-save", [], in: wire.host).split(separator: "\n").map(String.init)
        // Comments have the time, policies their counters.
        .filter { !$0.hasPrefix("#") }.map { $0.split(separator: "[").first.map(String.init) ?? $0 }
    }
  }

  /// What an administrator may have.
  private func addForeignRules(_ wire: Wire, _ backend: Backend) throws {
    for tool in ["iptables", "ip6tables"] {
      for rule in [
        "-t mangle -A PREROUTING -p tcp --dport 81 -j MARK --set-mark 9", "-t mangle -N OTHERS",
        "-t mangle -A POSTROUTING -j OTHERS", "-t raw -A OUTPUT -p udp -j ACCEPT",
        "-t filter -A INPUT -p tcp --dport 82 -j DROP",
      ] {
        try Tool.run("\(tool)\(backend.infix)", ["-w"] + rule.split(separator: " ").map(String.init), in: wire.host)
      }
    }
  }

  @Test(arguments: backends)
  func twiceIsTheSameAsOnceAndRemovalLeavesNoTrace(_ backend: Backend) throws {
    let wire = try Wire()
    try addForeignRules(wire, backend)
    let before = try tables(wire, backend)
    try wire.host.run { try PacketRules.apply([Self.ours], with: backend) }
    let once = try tables(wire, backend)
    #expect(once.contains { $0.contains("--queue-num 20") } && once.contains { $0.contains("--queue-num 21") })
    #expect(Set(before).isSubset(of: Set(once)))
    try wire.host.run { try PacketRules.apply([Self.ours], with: backend) }
    #expect(try tables(wire, backend) == once)
    try wire.host.run { try PacketRules.remove(with: backend) }
    #expect(try tables(wire, backend) == before)
    // There is nothing to remove any more, and that is no error.
    try wire.host.run { try PacketRules.remove(with: backend) }
    #expect(try tables(wire, backend) == before)
  }

  /// Rules that an earlier daemon left, with another configuration, are gone; also those of a family that is no longer configured.
  @Test(arguments: backends)
  func theNewRulesReplaceTheOldOnes(_ backend: Backend) throws {
    let wire = try Wire()
    try wire.host.run { try PacketRules.apply([Self.ours], with: backend) }
    var other = Self.ours
    other.addresses = [IPAddress(v4: 0x0a4d_0063)]
    other.ingressQueue = 30
    try wire.host.run { try PacketRules.apply([other], with: backend) }
    let now = try tables(wire, backend)
    #expect(now.contains { $0.contains("10.77.0.99/32") && $0.contains("--queue-num 30") })
    #expect(!now.contains { $0.contains("10.77.0.1/32") || $0.contains("fd77::1") })
    try wire.host.run { try PacketRules.remove(with: backend) }
    #expect(try !tables(wire, backend).contains { $0.contains("HOLDFAST") })
  }

  @Test(arguments: [Wire.Kind.v4, .v6], backends)
  func onlyMarkedSocketsGoThroughTheQueues(_ kind: Wire.Kind, _ backend: Backend) throws {
    let wire = try Wire()
    let (marked, other) = (try wire.connect(kind, port: 7000), try wire.connect(kind, port: 7001))
    try other.host.set(SOL_SOCKET, SO_MARK, 0x200)
    try Self.ours.mark.set(on: marked.host.number)
    try wire.host.run { try PacketRules.apply([Self.ours], with: backend) }
    // Nobody reads: the marked one is mute and deaf, the other flows.
    try marked.hostWrites(1000)
    try marked.peerWrites(1000)
    try other.exchange(100_000)
    #expect(throws: LabError.self) { try marked.peerReadsAll(within: 0.2) }
    #expect(throws: LabError.self) { try marked.hostReadsAll(within: 0.2) }
    // With a reader it flows too, in both directions, and only its packets come along.
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    var ports: Set<UInt16> = []
    var queues: Set<UInt16> = []
    try marked.exchangeWhile(bytes: 20_000) {
      _ = try queue.receive { packet in
        queues.insert(packet.queue)
        if let segment = try? Segment.parse(packet.bytes) {
          ports.insert(packet.queue == 20 ? segment.destination.port : segment.source.port)
        }
        #expect(throws: Never.self) { try queue.accept(packet.id, in: packet.queue) }
      }
    }
    #expect(ports == [7000] && queues == [20, 21])
    // Without the mark it passes as any other.
    try Self.ours.mark.clear(on: marked.host.number)
    try marked.hostReadsAll()
    try marked.exchange()
    try other.exchange()
    try wire.host.run { try PacketRules.remove(with: backend) }
    try wire.expectNoHarm()
  }

  @Test(arguments: backends)
  func aClaimTakesAllTCPToTheAddressAndNothingElse(_ backend: Backend) throws {
    let wire = try Wire()
    try wire.host.ip("addr", "add", "10.77.0.50/24", "dev", "eth0")
    var claim = Self.ours
    claim.claim = true
    try wire.host.run { try PacketRules.apply([claim], with: backend) }
    // A port where nobody listens: without the rules the kernel would answer with a reset.
    let refused = try wire.peer.run { try TCPSocket.connect(to: Wire.service()) }
    let queue = try wire.host.run { try PacketQueue(queues: [20, 21]) }
    let elsewhere = try wire.peer.run {
      try TCPSocket.connect(to: Endpoint(address: IPAddress(v4: 0x0a4d_0032), port: 7000))
    }
    try wait(for: "the reset of the other address", until: .seconds(10)) { try elsewhere.takeError() == ECONNREFUSED }
    #expect(try TCPInfo(refused.number).state == .synSent)
    var seen = 0
    try wait(for: "the SYN to be repeated", until: .seconds(10)) {
      _ = try queue.receive { packet in
        if let segment = try? Segment.parse(packet.bytes), segment.header.flags.contains(.syn) { seen += 1 }
      }
      return seen > 0
    }
    // The claim ends in one step: the next one is answered.
    try wire.host.run { try PacketRules.apply([Self.ours], with: backend) }
    try wait(for: "the reset", until: .seconds(10)) { try refused.takeError() == ECONNREFUSED }
  }

  /// A peer on the host itself, and what a takeover says to its own sockets.
  @Test func loopbackIsExcepted() throws {
    let wire = try Wire()
    var claim = Self.ours
    claim.claim = true
    try wire.host.run { try PacketRules.apply([claim]) }
    let listener = try wire.host.run { try TCPSocket.listen(on: Wire.service()) }
    let client = try wire.host.run { try TCPSocket.connect(to: Wire.service()) }
    try Self.ours.mark.set(on: client.number)
    try wait(for: "a connection", until: .seconds(10)) { try listener.accept() != nil }
  }

  @Test func aMissingProgramIsAnErrorThatSaysWhatToInstall() throws {
    let wire = try Wire()
    let failure = #expect(throws: CommandError.self) {
      try wire.host.run { try PacketRules.apply([Self.ours], with: Backend(infix: "-missing")) }
    }
    #expect(failure?.status == 127)
    #expect(failure?.description.contains("install the package iptables") == true)
  }

  @Test func aMarkLeavesTheBitsOfOthers() throws {
    let line = try Wire().connect()
    try line.host.set(SOL_SOCKET, SO_MARK, 0x1_0203)
    let mark = PacketMark(value: 0xff_f100, mask: 0xff00)
    #expect(mark.value == 0xf100)
    try mark.set(on: line.host.number)
    #expect(try line.host.get(SOL_SOCKET, SO_MARK) == 0x1_f103)
    try mark.clear(on: line.host.number)
    #expect(try line.host.get(SOL_SOCKET, SO_MARK) == 0x1_0003)
  }
}
