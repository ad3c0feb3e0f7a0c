import Lab
import LinuxNetwork
import TCPModel
import Testing

/// Where packets would go, and neighbours that are looked for before there are any.
@Suite struct RouteTableTests {
  private func neighbours(_ wire: Wire) throws -> String { try Tool.run("ip", "-n", wire.host.name, "neigh", "show") }

  @Test(arguments: [Wire.Kind.v4, .v6])
  func aNeighbourOnTheSameNetworkIsFoundBeforeAnythingIsSent(_ kind: Wire.Kind) throws {
    let wire = try Wire()
    let routes = try wire.host.run { try RouteTable() }
    let hop = try #require(routes.nextHop(to: Wire.address(9, kind)))
    #expect(hop.address == Wire.address(9, kind))
    #expect(!(try neighbours(wire).contains("\(hop.address) dev eth0 lladdr")))
    try routes.prepare(hop)
    try wait(for: "the neighbour", until: .seconds(10)) {
      try neighbours(wire).contains("\(hop.address) dev eth0 lladdr")
    }
    // Once more is no error.
    try routes.prepare(hop)
  }

  @Test(arguments: [
    ("10.99.0.0/16", "10.77.0.9", IPAddress(v4: 0x0a63_0007), Wire.address(9, .v4)),
    ("fd99::/16", "fd77::9", IPAddress(v6High: 0xfd99_0000_0000_0000, low: 7), Wire.address(9, .v6)),
  ])
  func behindARouterItIsTheRouter(network: String, router: String, address: IPAddress, hop: IPAddress) throws {
    let wire = try Wire()
    let routes = try wire.host.run { try RouteTable() }
    #expect(routes.nextHop(to: address) == nil)
    try wire.host.ip("route", "add", network, "via", router)
    #expect(routes.nextHop(to: address)?.address == hop)
  }

  @Test func onesOwnAddressHasNoNextHop() throws {
    let wire = try Wire()
    let routes = try wire.host.run { try RouteTable() }
    #expect(routes.nextHop(to: Wire.address(1, .v4)) == nil)
  }

  @Test func anInterfaceThatIsNotThereIsAnError() throws {
    let wire = try Wire()
    let routes = try wire.host.run { try RouteTable() }
    let hop = try #require(routes.nextHop(to: Wire.address(9, .v4)))
    try wire.host.ip("link", "del", "eth0")
    let error = #expect(throws: AddressError.self) { try routes.prepare(hop) }
    #expect(error?.description.contains("10.77.0.9") == true)
  }
}
