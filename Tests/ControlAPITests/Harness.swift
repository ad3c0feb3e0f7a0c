import FoundationEssentials
import Glibc
import SystemCalls
import Testing

@testable import ControlAPI

/// A handler that keeps every reply, so that a test decides when and in which order to answer.
final class RecordingHandler: ControlHandler {
  var registrations: [(call: RegisterCall, descriptor: Int32, reply: Reply<RegisterReply>)] = []
  var adoptions: [(call: AdoptCall, reply: Reply<AdoptReply>)] = []
  var releases: [(call: ReleaseCall, reply: Reply<VarlinkCodec.NoParameters>)] = []
  var lists: [Reply<ListConnectionsReply>] = []
  var statuses = 0
  var gone = 0

  deinit { for registration in registrations { close(registration.descriptor) } }

  func register(_ call: RegisterCall, descriptor: consuming Descriptor, reply: Reply<RegisterReply>) {
    registrations.append((call, descriptor.release(), reply))
  }
  func adopt(_ call: AdoptCall, reply: Reply<AdoptReply>) { adoptions.append((call, reply)) }
  func release(_ call: ReleaseCall, reply: Reply<VarlinkCodec.NoParameters>) { releases.append((call, reply)) }
  func getStatus(reply: Reply<StatusReply>) {
    statuses += 1
    reply.succeed(StatusReply(node: "alpha", pairs: []))
  }
  func listConnections(_ call: ListConnectionsCall, reply: Reply<ListConnectionsReply>) { lists.append(reply) }
  func clientGone(_ client: ControlClient) { gone += 1 }
}

/// A control server on a socket of its own and one raw client of it, both in this thread.
final class Harness {
  let path: String
  let server: ControlServer
  let handler = RecordingHandler()
  let connection: ControlConnection
  private(set) var client: Int32
  private var inbox: [UInt8] = []
  var received = ReceivedDescriptors()

  init(limits: ControlLimits = ControlLimits()) throws {
    path = temporaryPath()
    server = try ControlServer(path: path, mode: 0o600, info: .holdfast, limits: limits)
    client = try UnixSocket.connect(to: path).release()
    try UnixSocket.setNonblocking(client)
    connection = try #require(try server.accept(handler: handler))
  }

  deinit { if client >= 0 { close(client) } }

  func hangUp() {
    close(client)
    client = -1
  }

  /// Sends texts as messages, in one piece, and lets the server read.
  func send(_ messages: String..., descriptors: [Int32] = []) throws {
    let bytes: [UInt8] = messages.flatMap { Array($0.utf8) + [UInt8(0)] }
    try sendRaw(bytes, descriptors: descriptors)
    turn()
  }

  func sendRaw(_ bytes: [UInt8], descriptors: [Int32] = []) throws {
    let sent = try DescriptorPassing.send(bytes[...], descriptors: descriptors, over: client)
    try #require(sent == bytes.count)
  }

  /// What an event loop would do until nothing is ready.
  func turn() {
    for _ in 0..<10_000 where !connection.isClosed {
      if connection.wantsTurn {
        connection.proceed()
        continue
      }
      var entry = pollfd(fd: connection.descriptorNumber, events: 0, revents: 0)
      if connection.wantsRead { entry.events |= Int16(POLLIN) }
      if connection.wantsWrite { entry.events |= Int16(POLLOUT) }
      guard poll(&entry, 1, 0) > 0 else { return }
      if entry.revents & Int16(POLLOUT) != 0 { connection.writable() }
      if entry.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 { connection.readable() }
    }
  }

  /// All replies that have come so far.
  func replies() throws -> [String] {
    var space = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count: Int?
      do {
        count = try space.withUnsafeMutableBytes {
          try DescriptorPassing.receive(into: $0, adding: &received, over: client)
        }
      } catch DescriptorPassingError.system {
        break
      }
      guard let count, count > 0 else { break }
      inbox += space[..<count]
    }
    var replies: [String] = []
    while let end = inbox.firstIndex(of: 0) {
      replies.append(String(decoding: inbox[..<end], as: UTF8.self))
      inbox.removeFirst(end + 1)
    }
    return replies
  }
}

func temporaryPath() -> String {
  "\(FileManager.default.temporaryDirectory.path)/hf-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
}

/// A file that can be told from others by its content, to see which descriptor arrived.
func markedFile(_ mark: UInt8) throws -> Descriptor {
  var template = Array("\(FileManager.default.temporaryDirectory.path)/hf-mark-XXXXXX".utf8CString)
  let number = mkstemp(&template)
  try #require(number >= 0)
  unlink(template)
  let file = Descriptor(owning: number)
  var mark = mark
  try #require(pwrite(file.number, &mark, 1, 0) == 1)
  return file
}

func mark(of number: Int32) -> UInt8? {
  var mark: UInt8 = 0
  return pread(number, &mark, 1, 0) == 1 ? mark : nil
}

/// Connected stream sockets.
final class SocketPair {
  let first: Int32
  let second: Int32

  init() throws {
    var ends: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
    (first, second) = (ends[0], ends[1])
  }

  deinit {
    close(first)
    close(second)
  }
}

func connectionInfo(_ id: String) -> ConnectionInfo {
  ConnectionInfo(
    id: id, pair: "web", service: "files", key: nil, local: "10.77.0.100:80", peer: "10.77.0.9:4000",
    tcpState: "ESTABLISHED", protected: true, received: 10, consumed: 9, sent: 8, unacknowledged: 7, replicaLag: 0,
    timestampOffset: 6, timestampUnit: .milliseconds)
}
