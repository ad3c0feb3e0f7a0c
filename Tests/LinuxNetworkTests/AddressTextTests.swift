@testable import LinuxNetwork
import TCPModel
import Testing

@Suite struct AddressTextTests {
  @Test(arguments: ["10.78.0.1:7411", "[fd78::1]:7411", "[::1]:1", "127.0.0.1:65535"])
  func anEndpointIsReadAsItIsWritten(_ text: String) throws {
    #expect(try #require(Endpoint(text)).description == text)
  }

  @Test(arguments: [
    "", ":", "10.78.0.1", "10.78.0.1:", "10.78.0.1:0", "10.78.0.1:65536", "10.78.0.1:+80", "10.78.0.1: 80",
    " 10.78.0.1:80",
    "10.78.0:80", "[10.78.0.1]:80", "fd78::1:80", "[fd78::1]", "[fd78::1:80", "fd78::1]:80", "[fe80::1%eth0]:80",
    "host:80",
    "10.78.0.1:٨٠",
  ])
  func whatIsNoEndpointIsNil(_ text: String) { #expect(Endpoint(text) == nil) }

  @Test(arguments: [
    "10.77.0.100/24 dev eth0", "fd77::100/64 dev eth0", "10.77.0.100/32 dev bond0.1234", "::/0 dev a",
    "0.0.0.0/0 dev lo",
    "10.0.0.1/8 dev abcdefghijklmno",
  ])
  func aServiceAddressIsReadAsItIsWritten(_ text: String) throws {
    #expect(try ServiceAddress(text).description == text)
  }

  @Test func whiteSpaceBetweenItsPartsIsFree() throws {
    let address = try ServiceAddress("  10.77.0.100/24\tdev  eth0 ")
    #expect(address == ServiceAddress(address: IPAddress(v4: 0x0a4d_0064), prefixLength: 24, interface: "eth0"))
  }

  @Test(
    arguments: [
      ("10.77.0.100/24", .form), ("", .form), ("10.77.0.100/24 dev", .form), ("10.77.0.100/24 via eth0", .form),
      ("10.77.0.100/24 dev eth0 label x", .form), ("10.77.0.300/24 dev eth0", .address("10.77.0.300")),
      ("host/24 dev eth0", .address("host")), ("10.77.0.100 dev eth0", .noPrefix),
      ("10.77.0.100/24/24 dev eth0", .noPrefix),
      ("10.77.0.100/33 dev eth0", .prefix("33", longest: 32)), ("10.77.0.100/ dev eth0", .prefix("", longest: 32)),
      ("10.77.0.100/+4 dev eth0", .prefix("+4", longest: 32)), ("fd77::1/129 dev eth0", .prefix("129", longest: 128)),
      ("10.77.0.100/24 dev abcdefghijklmnop", .interface("abcdefghijklmnop")),
      ("10.77.0.100/24 dev a/b", .interface("a/b")), ("10.77.0.100/24 dev ..", .interface("..")),
      ("10.77.0.100/24 dev eth0:1", .interface("eth0:1")),
    ] as [(String, ServiceAddressError.Reason)])
  func anErrorSaysWhichPartIsWrong(text: String, reason: ServiceAddressError.Reason) {
    #expect(throws: ServiceAddressError(text: text, reason: reason)) { try ServiceAddress(text) }
  }
}
