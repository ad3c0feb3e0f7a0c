import Testing

@testable import HoldfastDaemon

@Suite struct CapabilityTests {
  @Test(
    arguments: [
      ("000001ffffffffff", []), ("0000000000003000", []), ("0000000000000000", [.netAdmin, .netRaw]),
      ("0000000000001000", [.netRaw]), ("0000000000002000", [.netAdmin]),
    ] as [(String, [Capability])])
  func theEffectiveSetSaysWhatIsMissing(mask: String, missing: [Capability]) {
    let status = "Name:\tholdfastd\nCapPrm:\t0000000000000000\nCapEff:\t\(mask)\nCapBnd:\t0000000000000000\n"
    #expect(Capability.missing(in: status) == missing)
  }

  @Test func anUnknownFormAccusesNobody() { #expect(Capability.missing(in: "Name:\tx\n").isEmpty) }
}
