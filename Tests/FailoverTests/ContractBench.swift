import Glibc
import Lab
import TCPModel
import Testing

/// A pair of hosts whose application is the test itself: it accepts, registers and adopts, and so sees every offset.
final class ContractBench {
  let topology: Topology
  let alpha: DaemonHost
  let beta: DaemonHost
  private let listener: TCPSocket
  static let port: UInt16 = 7100

  init(_ options: DaemonHost.Options = DaemonHost.Options()) throws {
    topology = try Topology()
    alpha = try DaemonHost(.alpha, in: topology, options: options)
    beta = try DaemonHost(.beta, in: topology, options: options)
    try alpha.start()
    try beta.start()
    try alpha.waitUntil(role: "active", replication: "synced")
    listener = try topology.alpha.run { try TCPSocket.listen(on: try Endpoint("0.0.0.0", ContractBench.port)) }
  }

  /// A connection of the client, and its two ends.
  struct Ends {
    let peer: Stream
    let server: Stream
    var id = ""
  }

  /// Connects and accepts; registers nothing.
  func connect() throws -> Ends {
    let peer = try topology.client.run {
      try TCPSocket.connect(to: try Endpoint(Addresses.service4, ContractBench.port))
    }
    var accepted: TCPSocket?
    try Lab.wait(for: "the connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    return Ends(peer: Stream(peer), server: Stream(try #require(accepted)))
  }

  /// Takes so many connections that are on their way.
  func accept(_ count: Int) throws -> [TCPSocket] {
    var accepted: [TCPSocket] = []
    try Lab.wait(for: "\(count) connections", until: .seconds(60)) {
      while accepted.count < count, let socket = try listener.accept() { accepted.append(socket) }
      return accepted.count == count
    }
    return accepted
  }

  /// Connects, unless a connection is given, and has it protected.
  func protected(
    _ connected: Ends? = nil, service: String = "contract", retention: String? = nil, by client: ControlClient? = nil
  ) throws -> Ends {
    var ends = try connected ?? connect()
    let registered: RegisterResult = try (client ?? alpha.control()).call(
      "Register", RegisterParameters(service: service, retention: retention), descriptors: [ends.server.socket.number])
    #expect(registered.protected, "\(registered.reason ?? "no reason")")
    ends.id = registered.id
    return ends
  }

  /// The next connection that a host hands to its application.
  func adopt(_ service: String = "contract", on host: DaemonHost) throws -> (AdoptResult, Stream) {
    let adopter = try host.control()
    try adopter.send("Adopt", AdoptParameters(service: service), more: true)
    let result: AdoptResult = try adopter.receive()
    return (result, Stream(TCPSocket(owning: try adopter.takeDescriptor(result.fd))))
  }

  /// A client of alpha's daemon that belongs to another user.
  func client(ofUser user: uid_t) throws -> ControlClient {
    let parent = "/" + alpha.folder.split(separator: "/").dropLast().joined(separator: "/")
    for folder in [parent, alpha.folder] { #expect(chmod(folder, 0o711) == 0) }
    #expect(chmod(alpha.controlPath, 0o666) == 0)
    // Whose it is the kernel notes when it connects.
    try #require(seteuid(user) == 0)
    defer { #expect(seteuid(0) == 0) }
    return try ControlClient(path: alpha.controlPath)
  }

  func info(_ id: String, on host: DaemonHost) throws -> ControlledConnection {
    try #require(try host.connections().first { $0.id == id })
  }

  /// Waits until a connection's offsets are what they are to be.
  func wait(
    for what: String, of id: String, on host: DaemonHost, until condition: (ControlledConnection) -> Bool
  ) throws {
    try Lab.wait(for: what, until: .seconds(30)) {
      try host.connections().first { $0.id == id }.map(condition) ?? false
    }
  }
}

/// A stream, read and written with a deadline.
final class Stream {
  let socket: TCPSocket
  init(_ socket: TCPSocket) { self.socket = socket }

  func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    try wait(for: "room to send", until: .seconds(30)) {
      // Before it is connected it takes nothing.
      let count = (try? rest.withUnsafeBytes { try socket.write($0) }) ?? nil
      rest = rest.dropFirst(count ?? 0)
      return rest.isEmpty
    }
  }

  func receive(_ count: Int) throws -> [UInt8] {
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: min(count, 1 << 16))
    try wait(for: "\(count) bytes", until: .seconds(60)) {
      while received.count < count {
        let most = min(count - received.count, buffer.count)
        guard
          let read = try buffer.withUnsafeMutableBytes({
            try socket.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<most]))
          })
        else { return false }
        guard read > 0 else { throw LabError("the stream ended after \(received.count) of \(count) bytes") }
        received += buffer[..<read]
      }
      return true
    }
    return received
  }

  /// Waits for the end of the stream, and fails on a byte or a reset before it.
  func receiveEnd() throws {
    var byte: [UInt8] = [0]
    var count: Int?
    try wait(for: "the end of the stream", until: .seconds(30)) {
      count = try byte.withUnsafeMutableBytes { try socket.read(into: $0) }
      return count != nil
    }
    #expect(count == 0)
  }
}

/// Which error of the interface a call ends with.
func refusal<Result>(_ body: () throws -> Result) -> String? {
  do {
    _ = try body()
    return nil
  } catch let failure as ControlClient.Failure {
    return failure.name
  } catch {
    return "\(error)"
  }
}

extension Stream {
  /// What can be read now.
  func available() throws -> [UInt8] {
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    while let read = try buffer.withUnsafeMutableBytes({ try socket.read(into: $0) }), read > 0 {
      received += buffer[..<read]
    }
    return received
  }
}
