internal import HostConfiguration
internal import LinuxNetwork
internal import Pairing
internal import SystemCalls
internal import TLSTransport

/// The UDP sockets over which a pair's two hosts tell each other that they live, one for each configured path.
final class HeartbeatPaths {
  private struct Path {
    let socket: DatagramSocket
    let source: IOSource
  }
  /// Datagrams that were ignored, and why.
  struct Rejected: Equatable {
    /// No heartbeat of this pair.
    var malformed = 0
    /// Not made by the peer.
    var forged = 0
    /// Made by the peer some time ago.
    var replayed = 0
    /// Made by this host.
    var reflected = 0
    var total: Int { malformed + forged + replayed + reflected }
  }

  private var paths: [Path] = []
  private let pair: String
  /// nil where heartbeats are not authenticated.
  private let seal: HeartbeatSeal?
  private var filter: HeartbeatFilter
  private var sequence: UInt64 = 0
  /// Whose heartbeats count: to that certificate ours are addressed.
  private var addressee: Fingerprint?
  private var isProven = false
  private var lastAnswer: UInt64 = 0
  private(set) var rejected = Rejected()

  /// Makes the heartbeat with this sequence number.
  var compose: ((_ sequence: UInt64) -> Heartbeat)?
  /// A heartbeat has come over path number `path`.
  var onHeartbeat: ((_ path: Int, Heartbeat) -> Void)?
  /// A heartbeat has come that may be old.
  var onRumour: ((Heartbeat) -> Void)?
  /// A datagram was ignored.
  var onRejected: ((_ path: Int, _ reason: String) -> Void)?

  /// Between two answers at least, ns: whoever floods a path is not to get a flood in return.
  private static let answerInterval: UInt64 = 5_000_000

  /// - Parameter instance: this host's, as its heartbeats say it.
  init(
    _ endpoints: [Configuration.Pair.HeartbeatPath], pair: String, instance: UInt64, seal: HeartbeatSeal?,
    loop: EventLoop
  ) throws(SystemCallError) {
    self.pair = pair
    self.seal = seal
    filter = HeartbeatFilter(instance: instance, paths: endpoints.count)
    for (index, endpoint) in endpoints.enumerated() {
      let socket = try DatagramSocket(local: endpoint.local, peer: endpoint.peer)
      let source = try loop.addIO(
        socket.descriptor, .readable, priority: LoopPriority.heartbeat, description: "heartbeat path \(index)"
      ) { [weak self] _ in self?.drain(index) }
      paths.append(Path(socket: socket, source: source))
    }
  }

  /// Takes in everything that has arrived: before silence is judged, what was said must have been heard.
  func drainAll() { for index in paths.indices { drain(index) } }

  private func drain(_ index: Int) {
    let socket = paths[index].socket
    // Before the path stands, what comes may be from anybody.
    while let bytes = socket.receive() { if socket.isConnected { take(bytes, on: index) } }
  }

  private func take(_ bytes: [UInt8], on index: Int) {
    guard let heartbeat = try? Heartbeat(decoding: bytes), heartbeat.pair == pair else {
      rejected.malformed += 1
      onRejected?(index, "it is no heartbeat of this pair")
      return
    }
    guard let seal else {
      onHeartbeat?(index, heartbeat)
      return
    }
    switch seal.origin(of: bytes, credential: heartbeat.credential) {
    case .sealed(let peer): judge(heartbeat, of: peer, on: index)
    case .introduction(let peer):
      addressee = addressee ?? peer
      answer(heartbeat, to: peer, on: index)
    case .reflected:
      rejected.reflected += 1
      onRejected?(index, "it is this host's own")
    case .forged:
      rejected.forged += 1
      onRejected?(
        index,
        heartbeat.credential.isEmpty
          ? "it is not authenticated: if the peer sent it, its configuration has security = \"none\""
          : "its tag or certificate is not that of the configured peer")
    }
  }

  private func judge(_ heartbeat: Heartbeat, of peer: Fingerprint, on index: Int) {
    switch filter.judge(heartbeat, on: index) {
    case .fresh:
      isProven = true
      addressee = peer
      onHeartbeat?(index, heartbeat)
    case .unproven:
      if !isProven { addressee = peer }
      onRumour?(heartbeat)
      answer(heartbeat, to: peer, on: index)
    case .replayed:
      rejected.replayed += 1
      onRejected?(index, "it is an old one")
    }
  }

  /// Tells a peer that has just come up that it is heard, so that its next heartbeat counts.
  private func answer(_ heartbeat: Heartbeat, to peer: Fingerprint, on index: Int) {
    let now = MonotonicClock.now
    guard now >= lastAnswer + Self.answerInterval, let answer = next(echo: heartbeat.instance, for: peer) else {
      return
    }
    lastAnswer = now
    paths[index].socket.send(answer)
  }

  /// Sends one heartbeat over every path.
  func send() {
    guard let heartbeat = next(echo: filter.echo, for: addressee) else { return }
    for path in paths { path.socket.send(heartbeat) }
  }

  private func next(echo: UInt64, for peer: Fingerprint?) -> [UInt8]? {
    sequence += 1
    guard var heartbeat = compose?(sequence) else { return nil }
    heartbeat.echo = echo
    guard let seal else { return heartbeat.encoded }
    heartbeat.credential = seal.credential
    var bytes = heartbeat.encoded
    seal.seal(&bytes, for: peer)
    return bytes
  }
}
