import Lab
@testable import LinuxNetwork
import SystemPackage
import TCPModel
import Testing

/// Ten thousand connections and more.
@Suite struct TableSizeTests {
  /// - Returns: as many flows of each family.
  private func flows(_ count: UInt32) -> Set<Flow> {
    var flows: Set<Flow> = []
    for number in 0..<count {
      let v4 = Endpoint(address: IPAddress(v4: 0x0a00_0000 + number), port: 1000)
      let v6 = Endpoint(address: IPAddress(v6High: 0xfd77 << 48, low: UInt64(number) + 100), port: 1000)
      flows.insert(Flow(local: Wire.service(.v4), peer: v4))
      flows.insert(Flow(local: Wire.service(.v6), peer: v6))
    }
    return flows
  }

  @Test(arguments: [true, false]) func tenThousandFlowsAreOneTransaction(_ owned: Bool) throws {
    let wire = try Wire()
    let line = try wire.connect()
    let table = try wire.host.run { try PacketTable(owned: owned) }
    let monitor = try wire.host.run { try PacketTable() }
    var flows = flows(20_000)
    flows.insert(try line.flow)
    for _ in 0..<2 {
      try table.replace(with: [TableBench.rules], flows: ["web": flows])
      #expect(try table.flows() == ["web": flows])
      #expect(try table.isIntact(sample: ["web": [try line.flow]]))
      // Another's look: it is told of each transaction, of this one with more than its socket holds.
      #expect(monitor.takeChanges() != .none)
    }
    try line.hostWrites(100)
    #expect(throws: LabError.self) { try line.peerReadsAll(within: 0.1) }
    let half = Array(flows.prefix(20_000))
    try table.change("web", adding: [], removing: half)
    #expect(try table.flows() == ["web": flows.subtracting(half)])
    try table.change("web", adding: half, removing: [])
    #expect(try table.flows() == ["web": flows])
    // The ruleset is another one since, by whomever: the elements are read and compared.
    try Tool.run("nft", ["add", "table", "inet", "others"], in: wire.host)
    #expect(try table.isIntact(sample: [:]))
  }
}
