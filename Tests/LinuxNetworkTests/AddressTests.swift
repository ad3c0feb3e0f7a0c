import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import SystemCalls
import SystemPackage
import TCPModel
import Testing

/// Service addresses come and go, and the neighbours learn of it.
@Suite struct AddressTests {
  static let v4 = ServiceAddress(address: IPAddress(v4: 0x0a4d_0064), prefixLength: 24, interface: "eth0")
  static let v6 = ServiceAddress(
    address: IPAddress(v6High: 0xfd77_0000_0000_0000, low: 0x100), prefixLength: 64, interface: "eth0")

  private func addresses(_ wire: Wire) throws -> [String] {
    try Tool.run("ip", "-n", wire.host.name, "-o", "addr", "show", "dev", "eth0").split(separator: "\n").map(
      String.init)
  }

  private func hardwareAddress(_ namespace: Namespace) throws -> String {
    let words = try Tool.run("ip", "-n", namespace.name, "-o", "link", "show", "dev", "eth0").split(separator: " ")
    let index = try #require(words.firstIndex(of: "link/ether"))
    return String(words[index + 1])
  }

  @Test(arguments: [v4, v6])
  func addingAndRemovingTwiceIsTheSameAsOnce(_ address: ServiceAddress) throws {
    let wire = try Wire()
    let manager = try wire.host.run { try AddressManager() }
    let before = try addresses(wire)
    let text = " \(address.address)/\(address.prefixLength) "
    for _ in 0..<2 {
      try wire.host.run { try manager.add(address) }
      #expect(try addresses(wire).filter { $0.contains(text) }.count == 1)
    }
    try wait(for: "the address to be usable", until: .seconds(10)) { manager.isLocal(address.address) }
    for _ in 0..<2 {
      try wire.host.run { try manager.remove(address) }
      #expect(try addresses(wire) == before)
    }
    try wait(for: "the address to be gone", until: .seconds(10)) { !manager.isLocal(address.address) }
  }

  /// Duplicate address detection would take a second or more, and fail while a half-dead owner answers.
  @Test func anIPv6AddressIsUsableAtOnce() throws {
    let wire = try Wire()
    // Here detection is on, as on a real host.
    try wire.host.setSysctl("net.ipv6.conf.eth0.accept_dad", "1")
    try wire.host.setSysctl("net.ipv6.conf.eth0.dad_transmits", "5")
    // And the other host has the address still.
    try wire.peer.ip("addr", "add", "fd77::100/64", "dev", "eth0", "nodad")
    try wire.host.run {
      try AddressManager().add(Self.v6)
      _ = try TCPSocket.listen(on: Endpoint(address: Self.v6.address, port: 80))
    }
    let line = try #require(try addresses(wire).first { $0.contains("fd77::100/64") })
    #expect(!line.contains("tentative") && !line.contains("dadfailed"))
    #expect(line.contains("nodad"))
  }

  @Test func whatCannotBeDoneIsAnErrorThatNamesIt() throws {
    let wire = try Wire()
    try wire.host.run {
      let manager = try AddressManager()
      let missing = ServiceAddress(address: Self.v4.address, prefixLength: 24, interface: "eth7")
      let failure = #expect(throws: AddressError.self) { try manager.add(missing) }
      #expect(failure?.description == "there is no interface \"eth7\"")
      let announcement = #expect(throws: SystemCallError.self) { try Announcer().announce(missing) }
      #expect(announcement?.errno == .init(rawValue: ENODEV))
    }
    try wire.host.setSysctl("net.ipv6.conf.eth0.disable_ipv6", "1")
    let failure = #expect(throws: AddressError.self) { try wire.host.run { try AddressManager().add(Self.v6) } }
    #expect(failure?.description.hasPrefix("cannot add fd77::100/64 dev eth0: ") == true)
  }

  /// As they travel: what a neighbour sees each time, a request and a reply for IPv4, an advertisement for IPv6.
  @Test func announcementsAreSeenAsOftenAsTheyAreSent() throws {
    let wire = try Wire()
    let tap = try wire.peer.run { try FrameTap("eth0") }
    let announcer = try wire.host.run { try Announcer() }
    let hardware = try hardwareAddress(wire.host)
    for _ in 0..<3 { try wire.host.run { try announcer.announce(Self.v4) } }
    for _ in 0..<3 { try wire.host.run { try announcer.announce(Self.v6) } }
    var arp: [[UInt8]] = []
    var advertisements: [[UInt8]] = []
    try wait(for: "six ARP packets and three advertisements", until: .seconds(10)) {
      for frame in try tap.frames() {
        if frame[12...13] == [0x08, 0x06], frame[28..<32] == Self.v4.address.bytes[...] { arp.append(frame) }
        if frame.count >= 78, frame[12...13] == [0x86, 0xdd], frame[20] == 58, frame[54] == 136 {
          advertisements.append(frame)
        }
      }
      return arp.count >= 6 && advertisements.count >= 3
    }
    #expect(arp.count == 6 && advertisements.count == 3)
    let source = arp[0][6..<12].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    #expect(hardware == source)
    #expect(arp.map { $0[21] } == [1, 2, 1, 2, 1, 2])
    for frame in arp {
      // To all; sender and target are the address; the sender's hardware address is the interface's.
      #expect(frame[0..<6] == [UInt8](repeating: 0xff, count: 6)[...])
      #expect(frame[38..<42] == Self.v4.address.bytes[...])
      #expect(Array(frame[22..<28]) == Array(frame[6..<12]))
    }
    for frame in advertisements {
      #expect(frame[0..<6] == [0x33, 0x33, 0, 0, 0, 1])
      #expect(frame[21] == 255, "hop limit")
      #expect(frame[58] == 0x20, "override, unsolicited")
      #expect(frame[62..<78] == Self.v6.address.bytes[...])
      #expect(Array(frame[78..<86]) == [2, 1] + frame[6..<12])
    }
  }

  /// What it is for: a neighbour that had the other host's hardware address sends to this one.
  @Test(arguments: [v4, v6])
  func aNeighbourLearnsTheNewPlace(_ address: ServiceAddress) throws {
    let wire = try Wire()
    let (family, text) = (address.address.isIPv6 ? "-6" : "-4", "\(address.address)")
    try wire.peer.ip(family, "neigh", "replace", text, "lladdr", "02:00:00:00:00:99", "nud", "stale", "dev", "eth0")
    let announcer = try wire.host.run {
      try AddressManager().add(address)
      return try Announcer()
    }
    let hardware = try hardwareAddress(wire.host)
    // A neighbour ignores what comes within a second of its last change (locktime), hence the repeats.
    try wait(for: "the neighbour to learn", until: .seconds(10), every: 50) {
      try wire.host.run { try announcer.announce(address) }
      return try Tool.run("ip", "-n", wire.peer.name, family, "neigh", "show", text).contains(hardware)
    }
  }
}

/// What arrives at an interface, from the first byte of the Ethernet header on (packet(7)).
final class FrameTap {
  private let socket: Descriptor

  init(_ interface: String) throws {
    let every = UInt16(ETH_P_ALL).bigEndian
    socket = Descriptor(
      owning: try systemCall("socket(AF_PACKET)") {
        Glibc.socket(AF_PACKET, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), Int32(every))
      })
    var address = sockaddr_ll()
    address.sll_family = UInt16(AF_PACKET)
    address.sll_protocol = every
    address.sll_ifindex = Int32(if_nametoindex(interface))
    let number = socket.number
    try systemCall("bind") {
      withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(number, $0, socklen_t(MemoryLayout<sockaddr_ll>.size))
        }
      }
    }
  }

  func frames() throws -> [[UInt8]] {
    var frames: [[UInt8]] = []
    var buffer = [UInt8](repeating: 0, count: 2048)
    let number = socket.number
    while let count = try nonblockingCall("recv", { recv(number, &buffer, buffer.count, 0) }) {
      frames.append(Array(buffer[..<count]))
    }
    return frames
  }
}
