import Lab
import LinuxNetwork
import TCPModel
import Testing

/// Whether a link carries packets, and whether a neighbour behind it answers.
@Suite struct LinkProbeTests {
  @Test func theStateOfALinkIsWhatTheKernelSays() throws {
    let wire = try Wire()
    let probe = try wire.host.run { try LinkProbe() }
    func waitUntil(_ state: LinkState) throws {
      try wait(for: "\(state)", until: .seconds(10)) { try probe.state(of: "eth0") == state }
    }
    try waitUntil(.up)
    try wire.peer.ip("link", "set", "eth0", "down")
    try waitUntil(.noCarrier)
    try wire.peer.ip("link", "set", "eth0", "up")
    try waitUntil(.up)
    try wire.host.ip("link", "set", "eth0", "down")
    try waitUntil(.down)
    try wire.host.ip("link", "del", "eth0")
    try waitUntil(.missing)
    #expect(try probe.state(of: "lo") == .up)
  }

  @Test func theProblemNamesTheInterface() {
    #expect(LinkState.up.problem(of: "eth0") == nil)
    #expect(LinkState.noCarrier.problem(of: "eth0") == "eth0 has no carrier")
    #expect(LinkState.down.problem(of: "bond0.7") == "bond0.7 is down")
    #expect(LinkState.missing.problem(of: "eth0") == "there is no interface eth0")
  }

  /// Witnesses are asked, and nobody else: a question for a service address would go to every neighbour four times a second.
  @Test func witnessesAloneAreAsked() throws {
    let wire = try Wire()
    let witnesses = [Wire.address(9, .v4), Wire.address(9, .v6), Wire.address(8, .v4)]
    let service = ServiceAddress(address: Wire.address(100, .v4), prefixLength: 24, interface: "eth0")
    let capture = try PacketCapture(
      in: wire.peer, interface: "eth0", bytes: 128, filter: "arp and dst host \(service.address)")
    let probe = AddressProbe(for: witnesses, onLinksOf: [service])
    func ask() throws {
      try wire.host.run {
        try probe.begin()
        try probe.send()
      }
    }
    try wait(for: "both to answer", until: .seconds(10), every: 50) {
      probe.receive()
      if probe.silent == [witnesses[2]] { return true }
      try ask()
      return false
    }
    try wire.peer.ip("link", "set", "eth0", "down")
    try wait(for: "a link without carrier", until: .seconds(10)) {
      try wire.host.run { try LinkProbe().state(of: "eth0") == .noCarrier }
    }
    try? ask()
    probe.receive()
    #expect(probe.silent == Set(witnesses))
    // A pcap file's header, and no packet.
    _ = try capture.stop()
    #expect(Files.size(capture.path) == 24)
  }
}
