import Glibc
import Lab
@testable import LinuxNetwork
import TCPModel
import Testing

/// An IPv6 service address is nobody's source but those programs' that bind to it.
@Suite struct AddressSourceTests {
  private func source(_ wire: Wire) throws -> String {
    let words = try Tool.run("ip", "-n", wire.host.name, "-6", "route", "get", "fd77::9").split(separator: " ")
    let index = try #require(words.firstIndex(of: "src"))
    return String(words[index + 1])
  }

  @Test func otherProgramsDoNotChooseIt() throws {
    let wire = try Wire()
    try wire.host.run { try AddressManager().add(AddressTests.v6) }
    #expect(try source(wire) == "fd77::1")
    // Nor one that an earlier daemon, or an operator, has put there.
    try wire.host.ip(
      "addr", "change", "fd77::100/64", "dev", "eth0", "preferred_lft", "forever", "valid_lft", "forever")
    #expect(try source(wire) == "fd77::100", "or the test shows nothing")
    try wire.host.run { try AddressManager().add(AddressTests.v6) }
    #expect(try source(wire) == "fd77::1")
    let line = try Tool.run("ip", "-n", wire.host.name, "-6", "addr", "show", "dev", "eth0")
    #expect(line.contains("deprecated") && line.contains("valid_lft forever preferred_lft 0sec"), "\(line)")
  }

  @Test func whoBindsToItIsServed() throws {
    let wire = try Wire()
    try wire.host.run { try AddressManager().add(AddressTests.v6) }
    let service = Endpoint(address: AddressTests.v6.address, port: Wire.port)
    let listener = try wire.host.run { try TCPSocket.listen(on: service) }
    let client = try wire.peer.run { try TCPSocket.connect(to: service) }
    var accepted: TCPSocket?
    try wait(for: "a connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    let connection = try #require(accepted)
    _ = try [UInt8]("hello".utf8).withUnsafeBytes { try connection.write($0) }
    var buffer = [UInt8](repeating: 0, count: 16)
    try wait(for: "what the host sent", until: .seconds(10)) {
      try buffer.withUnsafeMutableBytes { try client.read(into: $0) } == 5
    }
  }

  /// An address that duplicate address detection has condemned, or keeps waiting, is made anew.
  @Test func oneThatCannotBeUsedIsMadeAnew() throws {
    let wire = try Wire()
    try wire.host.setSysctl("net.ipv6.conf.eth0.accept_dad", "1")
    try wire.host.setSysctl("net.ipv6.conf.eth0.dad_transmits", "1")
    try wire.peer.ip("addr", "add", "fd77::100/64", "dev", "eth0", "nodad")
    try wire.host.ip("addr", "add", "fd77::100/64", "dev", "eth0")
    let manager = try wire.host.run { try AddressManager() }
    func state() throws -> AssignedAddress? {
      try wire.host.run { try manager.state(of: "eth0")?.assigned(AddressTests.v6) }
    }
    #expect(try state()?.isUnusable == true)
    try wire.host.run { try manager.add(AddressTests.v6) }
    #expect(try state()?.isUnusable == false)
  }
}
