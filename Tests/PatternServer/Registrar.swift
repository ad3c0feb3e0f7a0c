internal import Glibc
internal import Lab
internal import TCPModel

/// A connection that is ready to be served.
struct Ready: Sendable {
  var socket: TCPSocket
  var id: String?
  var local: Endpoint
  var peer: Endpoint
  var consumed: UInt64 = 0
  var sent: UInt64 = 0
}

/// Calls the daemon on a thread of its own, so that the connections that are served do not wait for those that are registered.
final class Registrar: Sendable {
  private enum Job: Sendable {
    case register(TCPSocket, local: Endpoint, peer: Endpoint)
    case release(String, TCPSocket)
  }

  private let jobs: Mailbox<Job>
  private let path: String
  private let service: String
  private let mark: UInt32?
  private let ready: Mailbox<Ready>

  /// - Parameter mark: SO_MARK, set when a connection has been registered.
  init(path: String, service: String, mark: UInt32? = nil, ready: Mailbox<Ready>) throws {
    self.path = path
    self.service = service
    self.mark = mark
    self.ready = ready
    jobs = try Mailbox()
    _ = try DedicatedThread { [self] in work() }
  }

  func register(_ socket: TCPSocket, local: Endpoint, peer: Endpoint) {
    jobs.post(.register(socket, local: local, peer: peer))
  }

  /// Has the daemon see the connection to its orderly end.
  func release(_ id: String, _ socket: TCPSocket) { jobs.post(.release(id, socket)) }

  private func work() {
    var client: ControlClient?
    while true {
      for job in jobs.waitAndTakeAll() {
        do {
          do {
            try carryOut(job, &client)
          } catch let failure as ControlClient.Failure {
            throw failure
          } catch  where client != nil {
            // The daemon that the client talked to is gone; another one may be there.
            client = nil
            try carryOut(job, &client)
          }
        } catch {
          refused(job, "\(error)")
        }
      }
    }
  }

  private func carryOut(_ job: Job, _ client: inout ControlClient?) throws {
    let connected = try client ?? ControlClient(path: path)
    client = connected
    try carryOut(job, connected)
  }

  private func carryOut(_ job: Job, _ client: ControlClient) throws {
    switch job {
    case .register(let socket, let local, let peer):
      let result: RegisterResult = try client.call(
        "Register", RegisterParameters(service: service), descriptors: [socket.number])
      if let mark { try socket.setMark(mark) }
      if !result.protected { Console.line("unprotected peer=\(peer) reason=\(result.reason ?? "none")") }
      ready.post(Ready(socket: socket, id: result.id, local: local, peer: peer))
    case .release(let id, _):
      let _: Nothing = try client.call("Release", ReleaseParameters(id: id, how: "close"))
    }
  }

  /// The connection is served all the same: that it is not protected is what the test will see.
  private func refused(_ job: Job, _ reason: String) {
    switch job {
    case .register(let socket, let local, let peer):
      Console.line("refused peer=\(peer) \(reason)")
      ready.post(Ready(socket: socket, id: nil, local: local, peer: peer))
    case .release(let id, _): Console.line("not-released id=\(id) \(reason)")
    }
  }
}
