internal import LinuxNetwork
internal import TCPModel

/// What both legs' registrations say of the session, so that the other host's proxy can bring them together again:
/// `1 <session> front|back <frontend> <server> none|v1|v2`.
struct SessionKey: Hashable {
  enum Side: String, Sendable {
    /// The client's connection.
    case front
    /// The one to the server.
    case back

    var other: Side { self == .front ? .back : .front }
  }

  /// 32 hexadecimal digits.
  let session: String
  let frontend: String
  let server: Endpoint
  let header: ProxyConfiguration.HeaderKind

  init(session: String, frontend: String, server: Endpoint, header: ProxyConfiguration.HeaderKind) {
    self.session = session
    self.frontend = frontend
    self.server = server
    self.header = header
  }

  /// A name that no other session has, on any host.
  static func newSession() -> String {
    var generator = SystemRandomNumberGenerator()
    return (0..<2).map { _ in
      let digits = String(generator.next() as UInt64, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  func text(_ side: Side) -> String { "1 \(session) \(side.rawValue) \(frontend) \(server) \(header.rawValue)" }

  /// nil when it is not this program's, or a later version's.
  static func parse(_ text: String) -> (key: SessionKey, side: Side)? {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 6, parts[0] == "1", parts[1].utf8.count == 32, let side = Side(rawValue: parts[2]),
      let server = Endpoint(parts[4]), let header = ProxyConfiguration.HeaderKind(rawValue: parts[5])
    else { return nil }
    return (SessionKey(session: parts[1], frontend: parts[3], server: server, header: header), side)
  }
}
