internal import Glibc
internal import Lab
internal import TCPModel

/// Waits for connections that the other host had, for as long as the process lives.
enum Adopter {
  static func start(path: String, service: String, staleTimestamps: Bool, ready: Mailbox<Ready>) throws {
    _ = try DedicatedThread {
      while true {
        do {
          try adopt(path: path, service: service, staleTimestamps: staleTimestamps, ready: ready)
        } catch let failure as ControlClient.Failure {
          Console.line("adopt: \(failure)")
          usleep(100_000)
        } catch {
          // The daemon is not there, or not yet.
          usleep(20_000)
        }
      }
    }
  }

  private static func adopt(path: String, service: String, staleTimestamps: Bool, ready: Mailbox<Ready>) throws {
    let client = try ControlClient(path: path)
    try client.send("Adopt", AdoptParameters(service: service), more: true)
    while true {
      let result: AdoptResult = try client.receive()
      let socket = TCPSocket(owning: try client.takeDescriptor(result.fd))
      let connection = result.connection
      if staleTimestamps { try socket.setTimestamp(try socket.timestamp() &- (1 << 30)) }
      Console.line("adopted peer=\(connection.peer) consumed=\(connection.consumed) sent=\(connection.sent)")
      ready.post(
        Ready(
          socket: socket, id: connection.id, local: try Endpoint(text: connection.local),
          peer: try Endpoint(text: connection.peer), consumed: connection.consumed, sent: connection.sent))
    }
  }
}
