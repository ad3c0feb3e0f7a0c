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

  /// What waits for a neighbour leaves when it answers, however late; what was taken back does not.
  @Test(arguments: [Wire.Kind.v4, .v6])
  func packetsThatWaitForANeighbourAreTakenBack(_ kind: Wire.Kind) throws {
    let wire = try Wire()
    let routes = try wire.host.run { try RouteTable() }
    let (family, slash) = kind == .v4 ? ("-4", "24") : ("-6", "64")
    // Two that do not answer yet: what waits for one of them is taken back.
    let absent = [50, 51].map { Wire.address($0, kind) }
    for address in absent {
      // One datagram, which nobody sends again.
      try Tool.run("ip", "netns", "exec", wire.host.name, "bash", "-c", "echo >/dev/udp/\(address)/9")
    }
    let hops = try absent.map { try #require(routes.nextHop(to: $0)) }
    #expect(try routes.neighboursLookedFor().isSuperset(of: hops))
    try routes.forget(hops[0])
    #expect(try routes.neighboursLookedFor().intersection(hops) == [hops[1]])
    // Once more is no error.
    try routes.forget(hops[0])
    for address in absent { try wire.peer.ip(family, "addr", "add", "\(address)/\(slash)", "dev", "eth0", "nodad") }
    for hop in hops { try routes.prepare(hop) }
    let arrived = { try Tool.run("ip", "netns", "exec", wire.peer.name, "nstat", "-asz", "UdpNoPorts", "Udp6NoPorts") }
    try wait(for: "what waited for the other", until: .seconds(10)) { try arrived().contains(#/NoPorts +1 /#) }
    try wait(for: "both", until: .seconds(10)) { try routes.neighboursLookedFor().isDisjoint(with: hops) }
    #expect(try !arrived().contains(#/NoPorts +2 /#))
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
