import Glibc
import Lab
@testable import LinuxNetwork
import TCPModel
import Testing

/// A service address comes and goes, and what else the host has stays as it is.
@Suite struct AddressNeighboursTests {
  private typealias Fixture = AddressTests

  /// All that a host shows of its addresses and routes.
  private func picture(_ host: Namespace) throws -> String {
    try [
      ["-4", "addr"], ["-6", "addr"], ["-4", "route", "show", "table", "all"], ["-6", "route", "show", "table", "all"],
    ].map { try Tool.run("ip", ["-n", host.name] + $0) }.joined()
  }

  /// A host as they are, with addresses and routes of its own beside those of the wire.
  private func furnish(_ wire: Wire, promotes: Bool) throws {
    for name in ["all", "eth0"] {
      try wire.host.setSysctl("net.ipv4.conf.\(name).promote_secondaries", promotes ? "1" : "0")
    }
    try wire.host.ip(
      batch: """
        addr add 10.77.0.3/24 brd + dev eth0 label eth0:own
        addr add 10.77.0.100/32 dev lo
        route add default via 10.77.0.9 src 10.77.0.1
        route add 10.99.0.0/16 via 10.77.0.9 src 10.77.0.3 metric 50
        route add default via fd77::9
        route add fd99::/64 via fd77::9

        """)
    try wait(for: "the link-local address", until: .seconds(10)) {
      try Tool.run("ip", "-n", wire.host.name, "-6", "addr", "show", "dev", "eth0").contains("fe80::")
        && !Tool.run("ip", "-n", wire.host.name, "-6", "addr").contains("tentative")
    }
  }

  @Test(arguments: [false, true])
  func tenTimesThereAndBackLeaveNoTrace(promotes: Bool) throws {
    let wire = try Wire()
    try furnish(wire, promotes: promotes)
    let before = try picture(wire.host)
    try wire.host.run {
      let manager = try AddressManager()
      for _ in 0..<10 {
        for address in [Fixture.v4, Fixture.v6] { try manager.add(address) }
        for address in [Fixture.v4, Fixture.v6] { try manager.remove(address) }
      }
    }
    try wait(for: "the routes to be gone", until: .seconds(10)) { try picture(wire.host) == before }
  }

  /// The service address came first, as on a host whose network manager has set the interface up anew.
  @Test(arguments: [false, true])
  func whatCameBehindTheServiceAddressStays(promotes: Bool) throws {
    let wire = try Wire()
    try furnish(wire, promotes: promotes)
    let before = try picture(wire.host)
    let manager = try wire.host.run { try AddressManager() }
    try wire.host.ip(
      batch: """
        addr del 10.77.0.3/24 dev eth0
        addr del 10.77.0.1/24 dev eth0

        """)
    try wire.host.run { try manager.add(Fixture.v4) }
    try wire.host.ip(
      batch: """
        addr add 10.77.0.1/24 dev eth0
        addr add 10.77.0.3/24 brd + dev eth0 label eth0:own
        route replace default via 10.77.0.9 src 10.77.0.1
        route replace 10.99.0.0/16 via 10.77.0.9 src 10.77.0.3 metric 50

        """)
    let state = try #require(try wire.host.run { try manager.state(of: "eth0") })
    #expect(state.assigned(Fixture.v4)?.isSecondary == false)
    try wire.host.run { try manager.remove(Fixture.v4) }
    #expect(try picture(wire.host) == before)
    #expect(try wire.host.sysctl("net.ipv4.conf.eth0.promote_secondaries") == (promotes ? "1" : "0"))
  }

  /// The first address of a network is the source of what the host's own programs open.
  @Test(arguments: [false, true])
  func theHostsOwnAddressComesFirstAgain(promotes: Bool) throws {
    let wire = try Wire()
    for name in ["all", "eth0"] {
      try wire.host.setSysctl("net.ipv4.conf.\(name).promote_secondaries", promotes ? "1" : "0")
    }
    let second = ServiceAddress(address: IPAddress(v4: 0x0a4d_0065), prefixLength: 24, interface: "eth0")
    let services: Set<IPAddress> = [Fixture.v4.address, second.address]
    let manager = try wire.host.run { try AddressManager() }
    func source() throws -> Bool {
      try Tool.run("ip", "-n", wire.host.name, "route", "get", "10.77.0.9").contains("src 10.77.0.1 ")
    }
    // Service addresses alone have nobody to give way to.
    try wire.host.ip("addr", "del", "10.77.0.1/24", "dev", "eth0")
    try wire.host.run { for address in [Fixture.v4, second] { try manager.add(address) } }
    #expect(try !wire.host.run { try manager.yieldPlace(Fixture.v4, services: services) })
    try wire.host.ip("addr", "add", "10.77.0.1/24", "dev", "eth0")
    #expect(try !source())
    // A connection to the service address does not notice.
    let service = Endpoint(address: Fixture.v4.address, port: Wire.port)
    let listener = try wire.host.run { try TCPSocket.listen(on: service) }
    let client = try wire.peer.run { try TCPSocket.connect(to: service) }
    var accepted: TCPSocket?
    try wait(for: "a connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    #expect(try wire.host.run { try manager.yieldPlace(Fixture.v4, services: services) })
    #expect(try source())
    #expect(try wire.host.run { try manager.state(of: "eth0")?.addresses.filter { !$0.address.isIPv6 }.count } == 3)
    #expect(try !wire.host.run { try manager.yieldPlace(Fixture.v4, services: services) })
    let connection = try #require(accepted)
    _ = try [UInt8]("hello".utf8).withUnsafeBytes { try connection.write($0) }
    var buffer = [UInt8](repeating: 0, count: 16)
    try wait(for: "what the host sent", until: .seconds(10)) {
      try buffer.withUnsafeMutableBytes { try client.read(into: $0) } == 5
    }
    try wire.host.run { for address in [Fixture.v4, second] { try manager.remove(address) } }
    let left = try wire.host.run { try manager.state(of: "eth0")?.addresses.filter { !$0.address.isIPv6 } }
    #expect(left?.map(\.description) == ["10.77.0.1/24"])
  }

  /// The same address with another prefix length is somebody else's.
  @Test func theSameAddressOfAnotherNetworkStays() throws {
    let wire = try Wire()
    let manager = try wire.host.run { try AddressManager() }
    try wire.host.ip("addr", "add", "10.77.0.100/32", "dev", "eth0")
    try wire.host.ip("addr", "add", "fd77::100/128", "dev", "eth0", "nodad")
    try wire.host.run {
      try manager.add(Fixture.v4)
      #expect(try manager.state(of: "eth0")?.assigned(Fixture.v4)?.prefixLength == 24)
      // The kernel has room for one: that it is the service's is not sure, so it is not changed.
      let failure = #expect(throws: AddressError.self) { try manager.add(Fixture.v6) }
      #expect(failure?.description == "cannot add fd77::100/64 dev eth0: the host has it as fd77::100/128")
      for _ in 0..<2 { for address in [Fixture.v4, Fixture.v6] { try manager.remove(address) } }
      let state = try #require(try manager.state(of: "eth0"))
      #expect(state.assigned(Fixture.v4)?.prefixLength == 32)
      let own = try #require(state.assigned(Fixture.v6))
      #expect(own.prefixLength == 128 && !own.isDeprecated)
    }
  }

  /// A route that the host has by itself, and not on account of an address: from a router's advertisement, or an operator's.
  @Test func aRouteOfTheHostsOwnStays() throws {
    let wire = try Wire()
    try wire.host.ip("addr", "del", "fd77::1/64", "dev", "eth0")
    try wire.host.ip("addr", "del", "10.77.0.1/24", "dev", "eth0")
    try wire.host.ip("-6", "route", "add", "fd77::/64", "dev", "eth0", "metric", "256", "proto", "ra")
    // Without any IPv4 address the interface would lose all its IPv4 routes.
    try wire.host.ip("addr", "add", "10.66.0.1/24", "dev", "eth0")
    try wire.host.ip("route", "add", "10.77.0.0/24", "dev", "eth0", "proto", "static")
    try wait(for: "the link-local address", until: .seconds(10)) {
      try Tool.run("ip", "-n", wire.host.name, "-6", "addr", "show", "dev", "eth0").contains("fe80::")
    }
    let before = try picture(wire.host)
    #expect(before.contains("fd77::/64 dev eth0 proto ra") && before.contains("10.77.0.0/24 dev eth0 proto static"))
    try wire.host.run {
      let manager = try AddressManager()
      for address in [Fixture.v4, Fixture.v6] { try manager.add(address) }
      for address in [Fixture.v4, Fixture.v6] { try manager.remove(address) }
    }
    try wait(for: "the host to be as before", until: .seconds(10)) { try picture(wire.host) == before }
  }

  /// Where the host has no address and no route of the network, the service address brings its route along, and takes it away.
  @Test func theFirstAddressOfANetworkBringsARoute() throws {
    let wire = try Wire()
    try wire.host.ip("addr", "del", "fd77::1/64", "dev", "eth0")
    try wire.host.ip("addr", "del", "10.77.0.1/24", "dev", "eth0")
    let manager = try wire.host.run { try AddressManager() }
    let routes = { try ["-4", "-6"].map { try Tool.run("ip", "-n", wire.host.name, $0, "route") }.joined() }
    let before = try routes()
    try wire.host.run { for address in [Fixture.v4, Fixture.v6] { try manager.add(address) } }
    let during = try routes()
    #expect(during.contains("fd77::/64 dev eth0") && during.contains("10.77.0.0/24 dev eth0"))
    try wire.host.run { for address in [Fixture.v4, Fixture.v6] { try manager.remove(address) } }
    #expect(try routes() == before)
  }
}
