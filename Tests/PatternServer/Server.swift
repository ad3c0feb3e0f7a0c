internal import Glibc
internal import Lab
internal import TCPModel

/// Serves every shape, each on its port, to many connections in one thread.
final class Server {
  struct Options {
    var port: UInt16
    var control: String?
    var service: String
    /// Where the connections' timestamps are to go on, if that lies ahead of where they are.
    var timestamp: UInt32?
    var staleTimestamps: Bool
    /// A proxy stands before the server and names the client.
    var proxyHeader = false
    /// SO_MARK of accepted connections; adopted ones have what they had.
    var mark: UInt32?
  }

  private let options: Options
  private let poller: Poller
  private let ready: Mailbox<Ready>
  private let registrar: Registrar?
  private var listeners: [Int32: TCPSocket] = [:]
  private var connections: [Int32: ServedConnection] = [:]
  private var announcements: [Int32: Announcement] = [:]
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 17, alignment: 64)
  private(set) var mismatches = 0

  init(_ options: Options) throws {
    self.options = options
    poller = try Poller()
    let ready = try Mailbox<Ready>()
    self.ready = ready
    registrar = try options.control.map {
      try Registrar(path: $0, service: options.service, mark: options.mark, ready: ready)
    }
    try poller.watch(ready.descriptor, for: .read)
    for shape in Shape.allCases {
      for address in ["0.0.0.0", "::"] {
        let listener = try TCPSocket.listen(on: Endpoint(address, options.port + shape.portOffset))
        listeners[listener.number] = listener
        try poller.watch(listener.number, for: .read)
      }
    }
    if let control = options.control {
      try Adopter.start(
        path: control, service: options.service, staleTimestamps: options.staleTimestamps, ready: ready)
    }
  }

  deinit { buffer.deallocate() }

  /// Serves until `ended` says so.
  func run(until ended: () -> Bool) throws {
    Console.line("serving")
    while !ended() {
      try poller.wait(milliseconds: 100) { number, event in
        if number == ready.descriptor {
          for connection in ready.takeAll() { try serve(connection) }
        } else if let listener = listeners[number] {
          try accept(listener)
        } else if let announcement = announcements[number] {
          try hear(announcement)
        } else if let connection = connections[number] {
          try proceed(connection, event)
        }
      }
    }
  }

  private func accept(_ listener: TCPSocket) throws {
    while let socket = try listener.accept() {
      // A client that has gone again already has no address any more.
      guard let local = socket.localEndpoint, let peer = socket.peerEndpoint else { continue }
      try socket.setTCP(TCP_NODELAY, 1)
      if let value = options.timestamp, Int32(bitPattern: value &- (try socket.timestamp())) > 0 {
        try socket.setTimestamp(value)
        Console.line("timestamp peer=\(peer)")
      }
      if options.proxyHeader {
        announcements[socket.number] = Announcement(socket, local: local)
        try poller.watch(socket.number, for: .read)
      } else if let registrar {
        registrar.register(socket, local: local, peer: peer)
      } else {
        if let mark = options.mark { try socket.setMark(mark) }
        try serve(Ready(socket: socket, local: local, peer: peer))
      }
    }
  }

  private func hear(_ announcement: Announcement) throws {
    let socket = announcement.socket
    do {
      guard let client = try announcement.client() else { return }
      announcements[socket.number] = nil
      try serve(Ready(socket: socket, local: announcement.local, peer: client))
    } catch {
      Console.line("broken header: \(error)")
      poller.forget(socket.number)
      announcements[socket.number] = nil
    }
  }

  private func serve(_ ready: Ready) throws {
    guard let shape = Shape.allCases.first(where: { options.port + $0.portOffset == ready.local.port }) else {
      Console.line("no shape has port \(ready.local.port)")
      return
    }
    let connection = ServedConnection(
      socket: ready.socket, id: ready.id, peer: ready.peer, shape: shape, consumed: ready.consumed, sent: ready.sent)
    connections[ready.socket.number] = connection
    try poller.watch(ready.socket.number, for: connection.interest)
  }

  private func proceed(_ connection: ServedConnection, _ event: Poller.Interest) throws {
    switch connection.proceed(event, buffer: buffer) {
    case .goesOn: try poller.watch(connection.socket.number, for: connection.interest)
    case .ended:
      try? connection.socket.finishWriting()
      retire(connection, "closed")
    case .broken(let reason): retire(connection, "broken \(reason)")
    case .mismatch(let offset):
      mismatches += 1
      retire(connection, "mismatch offset=\(offset)")
    }
  }

  private func retire(_ connection: ServedConnection, _ what: String) {
    poller.forget(connection.socket.number)
    connections[connection.socket.number] = nil
    if let id = connection.id { registrar?.release(id, connection.socket) }
    Console.line(
      "\(what) shape=\(connection.shape) peer=\(connection.peer) consumed=\(connection.consumed) sent=\(connection.sent)"
    )
  }
}
