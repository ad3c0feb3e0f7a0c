import Glibc
import Lab
import TCPModel
import Testing

/// A pair with a proxy, and both ends of its sessions in the test's hands.
struct ProxyBench {
  static let port: UInt16 = 7000

  /// A client's and a server's socket, with a proxy between them.
  struct Session {
    let client: ProxyStream
    let server: ProxyStream
  }

  let lab: ProxiedPair
  let listener: TCPSocket

  init(frontend: String = "", backend: String = "check = \"none\"") throws {
    var options = ProxiedPair.Options()
    options.frontend = frontend
    options.backend = backend
    try self.init(options)
  }

  init(_ options: ProxiedPair.Options) throws {
    let lab = try ProxiedPair(ports: [Self.port], options)
    self.lab = lab
    listener = try lab.server.run { try TCPSocket.listen(on: try Endpoint(Addresses.server, Self.port)) }
  }

  func connect(receiveBuffer: Int32? = nil, from local: String? = nil) throws -> ProxyStream {
    ProxyStream(
      try lab.pair.topology.client.run {
        try TCPSocket.connect(
          to: try Endpoint(Addresses.service4, Self.port), receiveBuffer: receiveBuffer,
          from: try local.map { try Endpoint($0, 0) })
      })
  }

  /// The proxy's next call, at the usual listener unless another one is named.
  func accept(at other: TCPSocket? = nil) throws -> ProxyStream {
    var accepted: TCPSocket?
    try wait(for: "the proxy to call\(lab.explanation)", until: .seconds(20)) {
      // A check comes from a host's own address.
      let service = try Endpoint(Addresses.service4, Self.port).address
      while let next = try (other ?? listener).accept() { if next.peerEndpoint?.address == service { accepted = next } }
      return accepted != nil
    }
    guard let accepted else { throw LabError("nobody called") }
    return ProxyStream(accepted)
  }

  func session(receiveBuffer: Int32? = nil) throws -> Session {
    let client = try connect(receiveBuffer: receiveBuffer)
    let session = Session(client: client, server: try accept())
    try lab.waitForSessions(1)
    return session
  }
}

/// A stream whose reader waits for what it knows must come.
final class ProxyStream {
  let socket: TCPSocket
  private var unread: [UInt8] = []
  private(set) var hasEnded = false

  init(_ socket: TCPSocket) { self.socket = socket }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    try wait(for: "room for \(rest.count) bytes", until: .seconds(30)) {
      // Before it is connected it takes nothing.
      rest = rest.dropFirst((try? rest.withUnsafeBytes { try socket.write($0) }) ?? 0)
      return rest.isEmpty
    }
  }

  func receive(_ text: String) throws {
    let bytes = try receive(text.utf8.count)
    #expect(String(decoding: bytes, as: UTF8.self) == text)
  }

  func receive(_ count: Int) throws -> [UInt8] {
    try wait(for: "\(count) bytes, of which \(unread.count) came", until: .seconds(30)) {
      try take()
      if hasEnded, unread.count < count { throw LabError("the stream ended after \(unread.count) of \(count) bytes") }
      return unread.count >= count
    }
    defer { unread.removeFirst(count) }
    return Array(unread[..<count])
  }

  func receiveEnd() throws {
    try wait(for: "the end of the stream", until: .seconds(30)) {
      try take()
      return hasEnded
    }
    #expect(unread.isEmpty, "\(unread.count) bytes too many")
  }

  func receiveReset() throws {
    try wait(for: "a reset", until: .seconds(30), every: 20) { try socket.takeError() == ECONNRESET }
  }

  /// Bytes that have come and were not asked for yet.
  func pending() throws -> Int {
    try take()
    return unread.count
  }

  private func take() throws {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while !hasEnded, let read = try buffer.withUnsafeMutableBytes({ try socket.read(into: $0) }) {
      if read == 0 { hasEnded = true } else { unread += buffer[..<read] }
    }
  }
}
