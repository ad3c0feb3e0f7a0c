import Lab
import TCPModel
import Testing

/// Packets that no ledger can take in. Anybody can send them to a protected connection.
@Suite(.serialized)
struct RefusedPacketTests {
  @Test func theyAreCountedAndHarmNobody() throws {
    let pair = try ProtectedPair()
    try pair.startServers()
    let capture = try pair.topology.capture(bytes: 192, filter: "tcp portrange 7000-7004")
    let client = try pair.connect(.pingpong, connections: 1)
    try pair.waitForProgress(client)
    let port = try #require(try pair.alpha.connections().first?.peer.split(separator: ":").last)
    // A header that is shorter than a header can be, and a checksum that is wrong.
    for (offset, checksum) in [("0x20", "0"), ("0x50", "0xdead")] {
      let script = """
        import socket, struct
        header = struct.pack("!HHIIBBHHH", \(port), \(7000 + Shape.pingpong.portOffset), 1, 1, \(offset), 16, 100, \(checksum), 0)
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).sendto(header, ("\(Addresses.service4)", 0))
        """
      try Tool.run("python3", ["-c", script], in: pair.topology.client)
    }
    func refused() throws -> [String: Int] { try #require(try pair.alpha.status().pairs.first?.refusedPackets) }
    try wait(for: "both to be counted", until: .seconds(10)) {
      try refused()["malformed"] == 1 && refused()["badChecksum"] == 1
    }
    let shown = try Tool.run(Products.path(of: "holdfastctl"), "status", "--socket", pair.alpha.controlPath)
    #expect(shown.contains("packets     1 malformed, 1 with a bad checksum"), "\(shown)")
    try pair.waitForProgress(client)
    client.finish(at: client.progress.least)
    let report = try client.report(until: .seconds(60))
    let check = try CaptureCheck(capture.stop(), isService: { (7000...7004).contains($0.port) })
    #expect(pair.violations(report, check) == [])
  }
}
