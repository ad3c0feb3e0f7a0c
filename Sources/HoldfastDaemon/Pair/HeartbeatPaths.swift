internal import LinuxNetwork
internal import Pairing

/// The UDP sockets over which a pair's two hosts tell each other that they live, one for each configured path.
final class HeartbeatPaths {
  private struct Path {
    let socket: DatagramSocket
    let source: IOSource
  }
  private var paths: [Path] = []
  private var sequence: UInt64 = 0
  /// Datagrams that are no heartbeat of this pair.
  private(set) var rejected: UInt64 = 0
  /// A heartbeat has come over path number `path`.
  var onHeartbeat: ((_ path: Int, Heartbeat) -> Void)?

  init(_ endpoints: [Configuration.Pair.HeartbeatPath], loop: EventLoop) throws(SystemCallError) {
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
    while let bytes = paths[index].socket.receive() {
      if let heartbeat = try? Heartbeat(decoding: bytes) {
        onHeartbeat?(index, heartbeat)
      } else {
        rejected += 1
      }
    }
  }

  /// Sends one heartbeat over every path. `make` gets the sequence number.
  func send(_ make: (UInt64) -> Heartbeat) {
    sequence += 1
    let bytes = make(sequence).encoded
    for path in paths { path.socket.send(bytes) }
  }
}
