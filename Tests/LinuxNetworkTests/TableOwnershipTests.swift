import Glibc
import Lab
@testable import LinuxNetwork
import SystemPackage
import TCPModel
import Testing

/// Whether others can take the packet table away, and what is left of it when its process dies.
@Suite struct TableOwnershipTests {
  private func isDeaf(_ line: Line) throws {
    try line.peerWrites(100)
    #expect(throws: LabError.self) { try line.hostReadsAll(within: 0.2) }
  }

  @Test func nobodyElseChangesAnOwnedTable() throws {
    let wire = try Wire()
    let line = try wire.connect()
    let table = try TableBench.table(wire, try line.flow)
    #expect(table.isOwned == TableBench.hasOwnership)
    try #require(table.isOwned || OtherKernel.isThis)
    guard table.isOwned else { return }
    try Tool.run("nft", ["add", "table", "inet", "others"], in: wire.host)
    try Tool.run("nft", ["flush", "ruleset"], in: wire.host)
    #expect(try !TableBench.ruleset(wire.host).contains("others"))
    let element = "10.77.0.1 . 1 . 10.77.0.9 . 2"
    for command in [
      "delete table inet holdfast", "flush table inet holdfast", "add table inet holdfast { flags dormant ; }",
      "flush chain inet holdfast web-in", "insert rule inet holdfast web-out accept",
      "flush set inet holdfast web-flows4",
      "add element inet holdfast web-flows4 { \(element) }", "add chain inet holdfast more",
    ] {
      #expect(throws: LabError.self, "\(command)") {
        try Tool.run("nft", command.split(separator: " ").map(String.init), in: wire.host)
      }
    }
    #expect(table.takeChanges() == .none)
    #expect(try table.isIntact(sample: ["web": [try line.flow]]))
    try isDeaf(line)
    try table.change("web", adding: [], removing: [try line.flow])
    try line.hostReadsAll()
  }

  /// The kernel does the same when a process dies and when it closes its socket.
  @Test func aTableOutlivesItsOwnerAndIsAdopted() throws {
    let wire = try Wire()
    let line = try wire.connect()
    let flow = try line.flow
    do { _ = try TableBench.table(wire, flow) }
    #expect(try TableBench.ruleset(wire.host).contains("web-flows4"))
    try isDeaf(line)
    let next = try wire.host.run { try PacketTable() }
    #expect(try next.flows() == ["web": [flow]])
    // Never, not for one packet, is there neither table.
    try next.replace(with: [TableBench.rules], flows: try next.flows())
    #expect(next.isOwned == TableBench.hasOwnership)
    #expect(try next.isIntact(sample: ["web": [flow]]))
    try isDeaf(line)
    if next.isOwned { try Tool.run("nft", ["flush", "ruleset"], in: wire.host) }
    #expect(try next.isIntact(sample: ["web": [flow]]))
    try next.remove()
    try line.hostReadsAll()
    try line.exchange()
  }

  /// Without its owner a table is as any other.
  @Test func anOrphanIsFlushedLikeAnyOther() throws {
    let wire = try Wire()
    let line = try wire.connect()
    do { _ = try TableBench.table(wire, try line.flow) }
    try Tool.run("nft", ["flush", "ruleset"], in: wire.host)
    #expect(try TableBench.ruleset(wire.host) == "")
    let next = try wire.host.run { try PacketTable() }
    #expect(try next.flows() == [:])
  }

  @Test(arguments: [true, false]) func aPlainTableAndAnOwnedOneReplaceEachOther(_ owned: Bool) throws {
    let wire = try Wire()
    let flow = try wire.connect().flow
    do { _ = try TableBench.table(wire, owned: owned, flow) }
    let next = try TableBench.table(wire, owned: !owned, flow)
    #expect(next.isOwned == (!owned && TableBench.hasOwnership))
    #expect(try next.isIntact(sample: ["web": [flow]]))
  }

  @Test func aTableOfALivingProcessIsAnErrorThatSaysSo() throws {
    let wire = try Wire()
    let flow = try wire.connect().flow
    let first = try TableBench.table(wire, flow)
    guard first.isOwned else { return }
    let second = try wire.host.run { try PacketTable() }
    // It may be read.
    #expect(try second.flows() == ["web": [flow]])
    for attempt in [{ try second.replace(with: [], flows: [:]) }, { try second.remove() }] {
      let failure = #expect(throws: PacketTableError.self) { try attempt() }
      #expect(failure?.errno == .notPermitted)
      #expect(failure?.description.contains("another process owns the table \"holdfast\": a second holdfastd?") == true)
    }
    #expect(try first.isIntact(sample: ["web": [flow]]))
  }
}
