import Glibc
import Lab
@testable import LinuxNetwork
import TCPModel
import Testing

/// What happens to interfaces and addresses is noticed.
@Suite struct AddressWatchTests {
  @Test func everyKindOfChangeIsNoticed() throws {
    let wire = try Wire()
    let watch = try wire.host.run { try AddressWatch() }
    let index = try wire.host.run { InterfaceState.index(of: "eth0") }
    let changes: [[String]] = [
      ["addr", "add", "10.77.0.100/24", "dev", "eth0"], ["addr", "del", "10.77.0.100/24", "dev", "eth0"],
      ["addr", "add", "fd77::100/64", "dev", "eth0"], ["addr", "del", "fd77::100/64", "dev", "eth0"],
      ["link", "set", "eth0", "down"], ["link", "set", "eth0", "up"], ["link", "set", "eth0", "mtu", "1400"],
    ]
    for change in changes {
      while watch.read() != nil {}
      try Tool.run("ip", ["-n", wire.host.name] + change)
      try wait(for: "a notice of \(change)", until: .seconds(10)) { watch.read() == .interfaces([index]) }
    }
    // The carrier is the other end's doing.
    while watch.read() != nil {}
    try wire.peer.ip("link", "set", "eth0", "down")
    try wait(for: "a notice of the carrier", until: .seconds(10)) { watch.read() == .interfaces([index]) }
  }

  @Test func lostNoticesAreNoticed() throws {
    let wire = try Wire()
    let watch = try wire.host.run { try AddressWatch() }
    // One in 255 of these is an address of the wire, which is no matter.
    let many = (0..<2000).map { "addr add 10.99.\($0 / 250).\(1 + $0 % 250)/32 dev eth0\n" }.joined()
    try wire.host.ip(batch: many)
    var seen = watch.read()
    while let change = seen, change != .anything { seen = watch.read() }
    #expect(seen == .anything)
    while watch.read() != nil {}
    try wire.host.ip("addr", "add", "10.77.0.100/24", "dev", "eth0")
    try wait(for: "the next notice", until: .seconds(10)) { watch.read() != nil }
  }

  @Test func anInterfacesStateIsWhatItHas() throws {
    let wire = try Wire()
    let manager = try wire.host.run { try AddressManager() }
    func state(_ name: String = "eth0") throws -> InterfaceState? { try wire.host.run { try manager.state(of: name) } }
    #expect(try state("eth7") == nil)
    let first = try #require(try state())
    #expect(first.isRunning && first.addresses.map(\.description).starts(with: ["10.77.0.1/24"]))
    #expect(first.addresses.contains { $0.description == "fd77::1/64" && $0.isPermanent && !$0.isDeprecated })
    // Those of other interfaces are not among them.
    #expect(!first.addresses.contains { $0.description == "127.0.0.1/8" })
    try wire.host.ip("addr", "add", "10.77.0.5/24", "dev", "eth0", "valid_lft", "1000", "preferred_lft", "500")
    let own = try #require(try state()?.addresses.first { $0.description == "10.77.0.5/24" })
    #expect(own.isSecondary && (900...1000).contains(own.validLifetime) && (400...500).contains(own.preferredLifetime))
    try wire.peer.ip("link", "set", "eth0", "down")
    let without = try #require(try state())
    #expect(without.isUp && !without.hasCarrier && without.carrierChanges > first.carrierChanges)
    try wire.host.ip("link", "set", "eth0", "down")
    #expect(try state()?.isUp == false)
  }
}
