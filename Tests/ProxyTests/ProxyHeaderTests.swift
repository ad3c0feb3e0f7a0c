import LinuxNetwork
import TCPModel
import Testing

@testable import HoldfastProxy

@Suite struct ProxyHeaderTests {
  private func header(_ kind: ProxyConfiguration.HeaderKind, _ client: String, _ service: String) throws -> [UInt8] {
    ProxyHeader.bytes(kind, client: try #require(Endpoint(client)), service: try #require(Endpoint(service)))
  }

  @Test func version1IsALine() throws {
    let v4 = try header(.v1, "10.77.0.9:4711", "10.77.0.100:80")
    #expect(v4 == Array("PROXY TCP4 10.77.0.9 10.77.0.100 4711 80\r\n".utf8))
    let v6 = try header(.v1, "[fd77::9]:65535", "[fd77::100]:443")
    #expect(v6 == Array("PROXY TCP6 fd77::9 fd77::100 65535 443\r\n".utf8))
  }

  /// Section 2.2: signature, version and command, family, length, the ends.
  @Test func version2IsBinary() throws {
    let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
    let v4 = try header(.v2, "10.77.0.9:4711", "10.77.0.100:80")
    #expect(v4 == signature + [0x21, 0x11, 0, 12, 10, 77, 0, 9, 10, 77, 0, 100, 0x12, 0x67, 0, 80])
    let v6 = try header(.v2, "[fd77::9]:1", "[fd77::100]:443")
    #expect(v6.count == 16 + 36 && v6[13] == 0x21 && v6[15] == 36 && v6.suffix(4) == [0, 1, 1, 0xbb])
  }

  @Test func noneIsNothing() throws { #expect(try header(.none, "10.77.0.9:1", "10.77.0.100:80").isEmpty) }
}

@Suite struct SessionKeyTests {
  @Test func aKeyComesBackAsItWas() throws {
    let key = SessionKey(
      session: SessionKey.newSession(), frontend: "web", server: try #require(Endpoint("[fd77::20]:80")), header: .v1)
    for side in [SessionKey.Side.front, .back] {
      let parsed = try #require(SessionKey.parse(key.text(side)))
      #expect(parsed.key == key && parsed.side == side)
    }
  }

  @Test(arguments: [
    "", "1", "GET / 0 1 keep 2 200 3", "2 00000000000000000000000000000000 front web 10.77.0.20:80 none",
    "1 0000 front web 10.77.0.20:80 none", "1 00000000000000000000000000000000 left web 10.77.0.20:80 none",
    "1 00000000000000000000000000000000 front web nowhere none",
    "1 00000000000000000000000000000000 front web 10.77.0.20:80 v3",
  ])
  func aKeyOfAnotherProgramIsNone(text: String) { #expect(SessionKey.parse(text) == nil) }

  @Test func noTwoSessionsHaveTheSameName() {
    #expect(Set((0..<1000).map { _ in SessionKey.newSession() }).count == 1000)
  }
}
