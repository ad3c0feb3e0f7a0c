import Glibc
import Lab
import LinuxNetwork
import Logging
import SystemCalls
import TCPModel
import Testing

@testable import HoldfastDaemon

/// The addresses of a pair on a real interface.
@Suite struct AddressHolderTests {
  /// One announcement can be lost, and Linux ignores one that comes within a second of a neighbour's last change.
  @Test func announcementsAreRepeatedAndEndWithTheAddress() throws {
    let host = try Namespace("holder")
    let peer = try Namespace("neighbour")
    try host.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", peer.name)
    for namespace in [host, peer] { try namespace.ip("link", "set", "eth0", "up") }
    let capture = try PacketCapture(in: peer, interface: "eth0", filter: "arp host 10.77.0.100")
    try onOwnThread {
      try host.enter()
      let loop = try EventLoop()
      let holder = try AddressHolder(
        [try ServiceAddress("10.77.0.100/24 dev eth0")], manager: try AddressManager(), announcer: try Announcer(),
        loop: loop, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      holder.take()
      #expect(holder.isHolding)
      // Each is a request and a reply of 42 bytes, with 16 of the file's own before each.
      let size = { (count: Int) in 24 + count * 2 * (16 + 42) }
      let begun = MonotonicClock.now
      var ticker: HoldfastDaemon.Timer?
      ticker = try loop.addTimer(description: "test") {
        if Files.size(capture.path) >= size(5) || MonotonicClock.now > begun + 20_000_000_000 { return loop.exit(0) }
        ticker?.set(at: MonotonicClock.now + 20_000_000)
      }
      ticker?.set(at: begun)
      #expect(try loop.run() == 0)
      #expect(Files.size(capture.path) >= size(5))
      let addresses = { try Tool.run("ip", "-n", host.name, "-o", "addr", "show", "dev", "eth0") }
      #expect(try addresses().contains("10.77.0.100/24"))
      holder.drop()
      #expect(!holder.isHolding)
      #expect(try !addresses().contains("10.77.0.100"))
      ticker = nil
    }
    peer.remove()
    host.remove()
  }
}
