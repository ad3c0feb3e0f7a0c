import Glibc
import Lab
@testable import LinuxNetwork
import SystemPackage
import TCPModel
import Testing

/// What others do to a packet table that belongs to nobody is noticed, with and without a notification, and mended.
@Suite struct TableWatchTests {
  /// A table without an owner, in which two flows are: one of each family.
  private func plain() throws -> (wire: Wire, table: PacketTable, flow: Flow) {
    let wire = try Wire()
    let flow = try wire.connect().flow
    return (wire, try TableBench.table(wire, owned: false, flow, Self.other), flow)
  }

  private static let other = Flow(
    local: Wire.service(.v6), peer: Endpoint(address: Wire.address(9, .v6), port: 40_000))

  private func nft(_ wire: Wire, _ command: String) throws {
    try Tool.run("nft", ["-f", "-"], input: command + "\n", in: wire.host)
  }

  private func isReadable(_ table: PacketTable) -> Bool {
    var entry = pollfd(fd: table.descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) > 0
  }

  @Test(arguments: [
    "flush ruleset", "delete table inet holdfast", "flush table inet holdfast", "flush chain inet holdfast web-in",
    "insert rule inet holdfast web-out accept", "add rule inet holdfast web-out accept",
    "flush set inet holdfast web-flows4",
    "delete element inet holdfast web-flows6 { fd77::1 . 7000 . fd77::9 . 40000 }",
    "add element inet holdfast web-flows4 { 10.77.0.1 . 1 . 10.77.0.9 . 2 }",
    "add table inet holdfast { flags dormant ; }",
    "add chain inet holdfast more",
    "delete table inet holdfast\nadd table inet holdfast\nadd chain inet holdfast web-in",
  ])
  func whatOthersDoToItIsNoticedAndMended(_ command: String) throws {
    let (wire, table, flow) = try plain()
    #expect(!isReadable(table) && table.takeChanges() == .none)
    #expect(try table.isIntact(sample: ["web": [flow, Self.other]]))
    try nft(wire, command)
    #expect(isReadable(table) && table.takeChanges() == .touched)
    #expect(!isReadable(table))
    #expect(try !table.isIntact(sample: [:]))
    #expect(try !table.isIntact(sample: [:]), "it stays so")
    try table.replace(with: [TableBench.rules], flows: ["web": [flow, Self.other]])
    #expect(try table.isIntact(sample: ["web": [flow, Self.other]]))
    #expect(try table.flows() == ["web": [flow, Self.other]])
    #expect(!isReadable(table) && table.takeChanges() == .none, "our own change")
  }

  @Test func whatOthersDoElsewhereIsNot() throws {
    let (wire, table, flow) = try plain()
    for command in [
      "add table inet others", "add table ip holdfast", "add set inet others s { type ipv4_addr ; }",
      "add element inet others s { 10.77.0.1 }", "delete table ip holdfast", "delete table inet others",
    ] {
      try nft(wire, command)
      #expect(isReadable(table) && table.takeChanges() == .none, "\(command)")
      #expect(try table.isIntact(sample: ["web": [flow, Self.other]]), "\(command)")
    }
  }

  @Test func ownChangesWakeNobody() throws {
    let (wire, table, flow) = try plain()
    try table.change("web", adding: [], removing: [flow])
    try table.change("web", adding: [flow], removing: [Self.other])
    try table.setMute(true, pair: "web")
    try table.remove()
    try table.replace(with: [TableBench.rules], flows: ["web": [flow]])
    #expect(!isReadable(table))
    #expect(try table.isIntact(sample: ["web": [flow]]))
    withExtendedLifetime(wire) {}
  }

  @Test func moreThanTheSocketHoldsIsAnOverrun() throws {
    let (wire, table, flow) = try plain()
    try nft(wire, "add table inet others\nadd set inet others s { type inet_service ; }")
    for round in 0..<20 where table.takeChanges() != .overrun {
      let elements = (0..<3000).map { "\(round * 3000 + $0)" }.joined(separator: ", ")
      // Each element is told of.
      for _ in 0..<3 { try nft(wire, "add element inet others s { \(elements) }\nflush set inet others s") }
      if round == 19 { Issue.record("no overrun") }
    }
    #expect(table.takeChanges() == .none)
    #expect(try table.isIntact(sample: ["web": [flow]]))
  }

  /// What is removed may be gone already, and what is added may be there: the change is made all the same, and the damage is told.
  @Test(arguments: ["flush ruleset", "flush set inet holdfast web-flows4"])
  func aChangeToADamagedTableMendsIt(_ command: String) throws {
    let (wire, table, flow) = try plain()
    try nft(wire, command)
    let third = Flow(local: Wire.service(), peer: Endpoint(address: Wire.address(9, .v4), port: 3))
    try table.change("web", adding: [third], removing: [flow])
    #expect(try table.flows() == ["web": [third, Self.other]])
    #expect(table.takeChanges() == .touched)
    #expect(try !table.isIntact(sample: [:]), "it was not")
    #expect(try table.isIntact(sample: ["web": [third, Self.other]]))
    // A mute pair too.
    try nft(wire, "flush ruleset")
    try table.setMute(true, pair: "web")
    #expect(try table.flows() == ["web": [third, Self.other]])
    #expect(try TableBench.ruleset(wire.host).contains("drop"))
  }

  @Test func whatIsThereAlreadyAndWhatIsNotAreNoError() throws {
    let (wire, table, flow) = try plain()
    let unknown = Flow(local: Wire.service(), peer: Endpoint(address: Wire.address(9, .v4), port: 4))
    try table.change("web", adding: [flow, flow], removing: [unknown, Self.other, Self.other])
    #expect(try table.flows() == ["web": [flow]])
    try table.change("web", adding: [flow], removing: [unknown])
    #expect(try table.isIntact(sample: ["web": [flow]]))
    // Somebody else was faster.
    try nft(wire, "add element inet holdfast web-flows4 { 10.77.0.1 . 7000 . 10.77.0.9 . 4 }")
    try table.change("web", adding: [unknown], removing: [])
    #expect(try table.flows() == ["web": [flow, unknown]])
    #expect(try table.isIntact(sample: ["web": [flow, unknown]]))
  }
}
