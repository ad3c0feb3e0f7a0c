internal import Glibc
internal import TCPModel

/// Crashes under an application whose output depends on all of its input, and a peer that knows every byte it must get.
public struct ExactlyOnce {
  public var connections: Int
  /// Input of each connection, bytes.
  public var length = 96 << 10
  public var daemon = DaemonHost.Options()
  static let port: UInt16 = 7200

  public init(connections: Int) { self.connections = connections }

  public struct Outcome: Sendable {
    /// What broke the promise.
    public var violations: [String]
    /// Connections that had made checkpoints before the crash, in all.
    public var checkpoints: Int
    /// Bytes of input that had come back in records when the host was cut off, of all connections.
    public var progress: UInt64
  }

  private final class Peer {
    let socket: TCPSocket
    let pattern: Pattern
    var expected = RecordStream()
    var sent: UInt64 = 0
    var received: UInt64 = 0
    /// Output that is due, from `received` on.
    var due: ArraySlice<UInt8> = []
    var violation: String?
    var isDone = false
    init(_ socket: TCPSocket, seed: UInt64) {
      self.socket = socket
      pattern = Pattern(seed: seed)
    }
  }

  /// One crash at a random instant.
  public func run() throws -> Outcome {
    let topology = try Topology()
    let alpha = try DaemonHost(.alpha, in: topology, options: daemon)
    let beta = try DaemonHost(.beta, in: topology, options: daemon)
    try alpha.start()
    try beta.start()
    try alpha.waitUntil(role: "active", replication: "synced")
    let servers = try [alpha, beta].map { try RecordServer(on: $0, port: Self.port) }
    defer { for server in servers { server.end() } }
    let peers = try (0..<connections).map { index in
      let socket = try topology.client.run {
        try TCPSocket.connect(to: try Endpoint(Addresses.service4, Self.port))
      }
      return Peer(socket, seed: UInt64(index + 1))
    }
    try wait(for: "\(connections) protected connections\(alpha.log)", until: .seconds(60), every: 20) {
      try alpha.connections().count { $0.protected } == connections
    }
    let total = UInt64(connections * length)
    let instant = UInt64.random(in: total / 20...total * 4 / 5)
    let poller = try Poller()
    for peer in peers { try poller.watch(peer.socket.number, for: [.read, .write]) }
    let byNumber = Dictionary(uniqueKeysWithValues: peers.map { ($0.socket.number, $0) })
    var progress: UInt64?
    let deadline = Deadline.seconds(120)
    while peers.contains(where: { !$0.isDone }) {
      if deadline.hasPassed {
        throw LabError("\(peers.count { !$0.isDone }) connections are not done\n\(beta.log)\n\(servers[1].complaints)")
      }
      try poller.wait(milliseconds: 20) { number, _ in
        guard let peer = byNumber[number] else { return }
        do { try proceed(peer) } catch { peer.violation = "\(error)" }
        if peer.violation != nil { peer.isDone = true }
        if peer.isDone {
          poller.forget(number)
        } else {
          try poller.watch(number, for: mayWrite(peer) ? [.read, .write] : .read)
        }
      }
      let answered = peers.reduce(0) { $0 + $1.expected.consumed }
      if progress == nil, answered >= instant {
        progress = answered
        servers[0].end()
        try topology.crash(.alpha)
      }
    }
    var violations = peers.compactMap(\.violation) + servers[1].complaints
    if let takeover = beta.takeover {
      if takeover.lostConnections > 0 { violations.append("\(takeover.lostConnections) connections lost") }
    } else {
      violations.append("beta has not taken over")
    }
    return Outcome(violations: violations, checkpoints: servers[0].checkpoints, progress: progress ?? 0)
  }

  /// A few blocks ahead of the answers, so that a crash meets input and output in every state.
  private func mayWrite(_ peer: Peer) -> Bool {
    peer.sent < UInt64(length) && peer.sent < peer.expected.consumed + 4 * RecordStream.blockLength + 777
  }

  private func proceed(_ peer: Peer) throws {
    var buffer = [UInt8](repeating: 0, count: 8192)
    while let count = try buffer.withUnsafeMutableBytes({ try peer.socket.read(into: $0) }) {
      if count == 0 {
        if peer.received < peer.expected.produced || peer.expected.consumed < UInt64(length) {
          peer.violation = "the stream ended after \(peer.received) bytes"
        }
        peer.isDone = true
        return
      }
      guard check(buffer[..<count], peer) else { return }
    }
    while mayWrite(peer) {
      let limit = min(UInt64(length), peer.expected.consumed + 4 * RecordStream.blockLength + 777)
      let piece = peer.pattern.bytes(peer.sent..<min(limit, peer.sent + UInt64.random(in: 1...1500)))
      guard let count = try piece.withUnsafeBytes({ try peer.socket.write($0) }) else { return }
      peer.sent += UInt64(count)
      if peer.sent == UInt64(length) { try peer.socket.finishWriting() }
    }
  }

  /// Compares with the records that the input so far must have made.
  private func check(_ bytes: ArraySlice<UInt8>, _ peer: Peer) -> Bool {
    var bytes = bytes
    while !bytes.isEmpty {
      if peer.due.isEmpty {
        let start = peer.expected.consumed
        guard start + RecordStream.blockLength <= peer.sent else {
          peer.violation = "output at \(peer.received) for input that was never sent"
          return false
        }
        peer.due = peer.expected.consume(peer.pattern.bytes(start..<start + RecordStream.blockLength))[...]
      }
      let count = min(bytes.count, peer.due.count)
      guard bytes.prefix(count).elementsEqual(peer.due.prefix(count)) else {
        peer.violation = "a wrong byte in the \(count) after \(peer.received)"
        return false
      }
      peer.received += UInt64(count)
      bytes = bytes.dropFirst(count)
      peer.due = peer.due.dropFirst(count)
    }
    return true
  }
}
