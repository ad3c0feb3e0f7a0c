import Glibc
import Synchronization
import SystemCalls
import SystemPackage

@testable import ControlAPI

/// What the daemon would do, on a thread of its own: answers every call at once.
final class ScriptedHandler: ControlHandler {
  /// Marks of the descriptors that were registered.
  var registered: [UInt8] = []
  var adopters: [Reply<AdoptReply>] = []

  func register(_ call: RegisterCall, descriptor: consuming Descriptor, reply: Reply<RegisterReply>) {
    registered.append(mark(of: descriptor.number) ?? 0)
    if call.service == "elsewhere" {
      reply.fail(.addressNotServed(local: "10.0.0.1:80"))
    } else {
      reply.succeed(RegisterReply(id: "\(registered.count):\(registered)", protected: false, reason: call.key))
    }
  }

  func adopt(_ call: AdoptCall, reply: Reply<AdoptReply>) {
    for index in 1...3 {
      guard let file = try? markedFile(UInt8(index)) else { return }
      var answer = AdoptReply(connection: connectionInfo("\(index)"))
      if index == 2 { (answer.state, answer.produced) = ("AQID", 5) }
      reply.succeed(answer, descriptor: SharedDescriptor(file), continues: true)
    }
    adopters.append(reply)
  }

  func release(_ call: ReleaseCall, reply: Reply<VarlinkCodec.NoParameters>) {
    if call.id == "1" { reply.succeed() } else { reply.fail(.noSuchConnection(id: call.id)) }
  }
  func getStatus(reply: Reply<StatusReply>) { reply.succeed(StatusReply(node: "alpha", pairs: [])) }
  func listConnections(_ call: ListConnectionsCall, reply: Reply<ListConnectionsReply>) {
    reply.succeed(ListConnectionsReply(connections: (0..<2000).map { connectionInfo("\($0)") }))
  }
}

/// A control server with a poll loop on a thread of its own, until the value ends.
final class ServerThread {
  let path: String
  private let stopping: Int32
  private var thread = pthread_t()

  private final class Job {
    let path: String
    let stop: Int32
    let listening = Atomic<Bool>(false)

    init(path: String, stop: Int32) {
      self.path = path
      self.stop = stop
    }

    func run() throws {
      let server = try ControlServer(path: path, mode: 0o600, info: .holdfast)
      listening.store(true, ordering: .releasing)
      let handler = ScriptedHandler()
      var connections: [ControlConnection] = []
      while true {
        var entries = [pollfd(fd: stop, events: Int16(POLLIN), revents: 0)]
        entries.append(pollfd(fd: server.descriptorNumber, events: Int16(POLLIN), revents: 0))
        for connection in connections {
          let events = (connection.wantsRead ? POLLIN : 0) | (connection.wantsWrite ? POLLOUT : 0)
          entries.append(pollfd(fd: connection.descriptorNumber, events: Int16(events), revents: 0))
        }
        poll(&entries, nfds_t(entries.count), -1)
        if entries[0].revents != 0 { return }
        for (connection, entry) in zip(connections, entries.dropFirst(2)) where entry.revents != 0 {
          if Int32(entry.revents) & Int32(POLLOUT) != 0 { connection.writable() }
          if Int32(entry.revents) & ~Int32(POLLOUT) != 0 { connection.readable() }
        }
        for connection in connections { while connection.wantsTurn { connection.proceed() } }
        connections.removeAll { $0.isClosed }
        while let connection = try server.accept(handler: handler) { connections.append(connection) }
      }
    }
  }

  init(path: String = temporaryPath()) throws {
    self.path = path
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw SystemCallError("pipe", errno: .init(rawValue: errno)) }
    stopping = ends[1]
    let job = Job(path: path, stop: ends[0])
    pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let job = Unmanaged<Job>.fromOpaque(argument).takeRetainedValue()
        try? job.run()
        close(job.stop)
        return nil
      }, Unmanaged.passRetained(job).toOpaque())
    while !job.listening.load(ordering: .acquiring) { sched_yield() }
  }

  deinit {
    close(stopping)
    pthread_join(thread, nil)
  }
}
