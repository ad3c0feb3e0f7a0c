internal import Glibc
internal import Synchronization
internal import TCPModel

/// The exactly-once application on one host: registers what it accepts with retention `confirm`, makes checkpoints that lag
/// behind, and goes on from them with what it adopts. One thread serves, one waits for adoptions.
final class RecordServer: Sendable {
  private final class Connection {
    let socket: TCPSocket
    let id: String
    var stream: RecordStream
    /// Output that is made again and has left before.
    var skip: UInt64
    var output: ArraySlice<UInt8> = []
    var inputEnded = false
    /// Records until the next checkpoint.
    var untilCheckpoint = Int.random(in: 1...12)

    var interest: Poller.Interest {
      (inputEnded ? [] : .read as Poller.Interest).union(output.isEmpty ? [] : .write)
    }

    init(socket: TCPSocket, id: String, stream: RecordStream, skip: UInt64) {
      self.socket = socket
      self.id = id
      self.stream = stream
      self.skip = skip
    }
  }

  private struct Adopted: Sendable {
    let result: AdoptResult
    let socket: TCPSocket
  }

  static let service = "records"
  private let path: String
  private let adoptions: Mailbox<Adopted>
  private let ended = Atomic<Bool>(false)
  private let state = Mutex<(checkpoints: Int, complaints: [String])>((0, []))

  /// - Parameter port: listens there, in the host's namespace.
  init(on host: DaemonHost, port: UInt16) throws {
    path = host.controlPath
    adoptions = try Mailbox()
    let listener = try host.namespace.run { try TCPSocket.listen(on: try Endpoint("0.0.0.0", port)) }
    let adopter = try host.control()
    try adopter.send("Adopt", AdoptParameters(service: Self.service), more: true)
    nonisolated(unsafe) let waiting = adopter
    _ = try DedicatedThread { [adoptions] in
      // Ends with the daemon.
      while let result = try? waiting.receive(as: AdoptResult.self), let number = try? waiting.takeDescriptor(result.fd)
      {
        adoptions.post(Adopted(result: result, socket: TCPSocket(owning: number)))
      }
    }
    _ = try DedicatedThread { [self] in
      do { try serve(listener) } catch { complain("\(error)") }
    }
  }

  func end() { ended.store(true, ordering: .relaxed) }
  var checkpoints: Int { state.withLock { $0.checkpoints } }
  var complaints: [String] { state.withLock { $0.complaints } }

  private func complain(_ text: String) {
    // A host that was cut off complains of its daemon's death.
    if !ended.load(ordering: .relaxed) { state.withLock { $0.complaints.append(text) } }
  }

  private func serve(_ listener: TCPSocket) throws {
    let control = try ControlClient(path: path)
    let poller = try Poller()
    var connections: [Int32: Connection] = [:]
    try poller.watch(listener.number, for: .read)
    try poller.watch(adoptions.descriptor, for: .read)
    var buffer = [UInt8](repeating: 0, count: 4096)
    while !ended.load(ordering: .relaxed) {
      try poller.wait(milliseconds: 50) { number, _ in
        if number == adoptions.descriptor {
          for adopted in adoptions.takeAll() {
            let connection = try resume(adopted)
            connections[connection.socket.number] = connection
            try poller.watch(connection.socket.number, for: .read)
          }
        } else if number == listener.number {
          while let socket = try listener.accept() {
            let registered: RegisterResult = try control.call(
              "Register", RegisterParameters(service: Self.service, retention: "confirm"), descriptors: [socket.number])
            let connection = Connection(socket: socket, id: registered.id, stream: RecordStream(), skip: 0)
            connections[socket.number] = connection
            try poller.watch(socket.number, for: .read)
          }
        } else if let connection = connections[number] {
          if try proceed(connection, control, &buffer) {
            try poller.watch(number, for: connection.interest)
          } else {
            poller.forget(number)
            connections[number] = nil
          }
        }
      }
    }
  }

  /// Goes on from the newest covered checkpoint, or from the beginning.
  private func resume(_ adopted: Adopted) throws -> Connection {
    let connection = adopted.result.connection
    let state = try adopted.result.state.map { try bytes(base64: $0) }
    guard let stream = state.map(RecordStream.init) ?? RecordStream(), stream.consumed == connection.consumed,
      stream.produced == UInt64(adopted.result.produced ?? 0), stream.produced <= connection.sent
    else {
      throw LabError("\(connection) came with a state that does not fit it: \(state ?? [])")
    }
    return Connection(
      socket: adopted.socket, id: connection.id, stream: stream, skip: connection.sent - stream.produced)
  }

  /// - Returns: whether the connection goes on.
  private func proceed(_ connection: Connection, _ control: ControlClient, _ buffer: inout [UInt8]) throws -> Bool {
    try flush(connection)
    let most = Int.random(in: 1...buffer.count)
    if !connection.inputEnded {
      let count = try buffer.withUnsafeMutableBytes {
        try connection.socket.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<most]))
      }
      guard let count else { return true }
      if count > 0 {
        try work(connection, buffer[..<count], control)
        return true
      }
      connection.inputEnded = true
    }
    guard connection.output.isEmpty else { return true }
    let _: Nothing = try control.call("Release", ReleaseParameters(id: connection.id, how: "close"))
    return false
  }

  private func work(_ connection: Connection, _ input: ArraySlice<UInt8>, _ control: ControlClient) throws {
    let before = connection.stream.records
    let output = connection.stream.consume(input)
    let skipped = min(connection.skip, UInt64(output.count))
    connection.skip -= skipped
    connection.output += output.dropFirst(Int(skipped))
    connection.untilCheckpoint -= Int(connection.stream.records - before)
    // Sometimes the output leaves before its checkpoint is there, sometimes it never does.
    if Bool.random() { try flush(connection) }
    if connection.untilCheckpoint <= 0, connection.output.isEmpty, connection.skip == 0 {
      connection.untilCheckpoint = Int.random(in: 1...12)
      let _: Nothing = try control.call(
        "Checkpoint",
        CheckpointParameters(
          id: connection.id, state: base64(connection.stream.encoded),
          consumed: Int(connection.stream.consumed), produced: Int(connection.stream.produced)))
      state.withLock { $0.checkpoints += 1 }
    }
    try flush(connection)
  }

  private func flush(_ connection: Connection) throws {
    while !connection.output.isEmpty {
      guard let count = try connection.output.withUnsafeBytes({ try connection.socket.write($0) }) else { return }
      connection.output = connection.output.dropFirst(count)
    }
  }
}
