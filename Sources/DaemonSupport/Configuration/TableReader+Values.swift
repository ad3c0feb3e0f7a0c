internal import LinuxNetwork
package import TCPModel

/// The kinds of values that the daemon's own tables hold.
extension TableReader {
  /// A required name, as it stands in the journal and on the command line.
  package func name(_ key: String) throws(ConfigurationError) -> String {
    let expected = "a name of 1 to 64 letters, digits, \".\", \"_\" and \"-\""
    guard let text = try string(key, expected: expected) else { throw error(key, .missing(expected: expected)) }
    let allowed = text.utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
    guard allowed, (1...64).contains(text.utf8.count) else {
      throw error(key, .badValue(expected: expected, found: "\"\(text)\""))
    }
    return text
  }

  /// A time in nanoseconds.
  package func duration(_ key: String, _ range: ClosedRange<UInt64>) throws(ConfigurationError) -> UInt64? {
    let expected =
      "a duration from \(DurationText.text(range.lowerBound)) to \(DurationText.text(range.upperBound)), as in \"50ms\""
    guard let text = try string(key, expected: expected) else { return nil }
    guard let time = DurationText.nanoseconds(text), range.contains(time) else {
      throw error(key, .badValue(expected: expected, found: "\"\(text)\""))
    }
    return time
  }

  /// A time in nanoseconds; 0 for "0", which means never.
  package func durationOrNever(_ key: String, _ range: ClosedRange<UInt64>) throws(ConfigurationError) -> UInt64? {
    let expected =
      "\"0\" for never, or a duration from \(DurationText.text(range.lowerBound)) to "
      + "\(DurationText.text(range.upperBound)), as in \"60s\""
    guard let text = try string(key, expected: expected) else { return nil }
    let time = text == "0" ? 0 : DurationText.nanoseconds(text)
    guard let time, time == 0 || range.contains(time) else {
      throw error(key, .badValue(expected: expected, found: "\"\(text)\""))
    }
    return time
  }

  /// One of an enumeration's words.
  package func choice<Choice: RawRepresentable<String> & CaseIterable>(_ key: String, _: Choice.Type)
    throws(ConfigurationError) -> Choice?
  {
    guard let text = try string(key, expected: Self.list(Choice.self)) else { return nil }
    guard let choice = Choice(rawValue: text) else {
      throw error(key, .badValue(expected: Self.list(Choice.self), found: "\"\(text)\""))
    }
    return choice
  }

  package static func list<Choice: RawRepresentable<String> & CaseIterable>(_: Choice.Type) -> String {
    Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " or ")
  }

  /// `local` and `peer`: two ends that can talk to each other.
  package func endpoints() throws(ConfigurationError) -> (local: Endpoint, peer: Endpoint) {
    let local = try endpoint("local"), peer = try endpoint("peer")
    guard local.address.isIPv6 == peer.address.isIPv6 else {
      throw error("peer", .conflict("\(peer) and local = \(local) are not both IPv4 or both IPv6"))
    }
    guard local != peer else { throw error("peer", .conflict("\(peer) is local, too: a host is not its own peer")) }
    return (local, peer)
  }

  private func endpoint(_ key: String) throws(ConfigurationError) -> Endpoint {
    guard let text = try string(key, expected: Self.endpointForm) else {
      throw error(key, .missing(expected: Self.endpointForm))
    }
    return try endpoint(text, at: key)
  }

  private static let endpointForm = "an address and a port, as in \"10.78.0.1:7411\" or \"[fd78::1]:7411\""

  /// `text`, which stands at `key`, as the endpoint of one host.
  package func endpoint(_ text: String, at key: String) throws(ConfigurationError) -> Endpoint {
    guard let endpoint = Endpoint(text) else {
      throw error(key, .badValue(expected: Self.endpointForm, found: "\"\(text)\""))
    }
    guard endpoint.address.isHost else {
      throw error(
        key, .badValue(expected: "the address of one host, routable without naming an interface", found: "\"\(text)\""))
    }
    return endpoint
  }
}

extension IPAddress {
  /// Names one host: not unspecified, multicast, broadcast, or IPv6 link-local (which means nothing without an interface).
  fileprivate var isHost: Bool {
    if !isIPv6 { return high != 0 && high >> 28 != 0xe && high != 0xffff_ffff }
    return !(high == 0 && low == 0) && high >> 56 != 0xff && high >> 54 != 0xfe80 >> 6
  }
}
