import ControlAPI
import Glibc
import LinuxNetwork
import SystemCalls
import Testing

@testable import HoldfastDaemon

/// Nobody's reading of events costs the daemon more than so much memory, and nobody is let go without a word.
@Suite struct EventFeedTests {
  private final class Handler: ControlHandler {
    let feed = EventFeed()
    func monitor(reply: Reply<MonitorReply>) { feed.subscribe(reply) }
    func register(_ call: RegisterCall, descriptor: consuming Descriptor, reply: Reply<RegisterReply>) {}
    func adopt(_ call: AdoptCall, reply: Reply<AdoptReply>) {}
    func release(_ call: ReleaseCall, reply: Reply<VarlinkCodec.NoParameters>) {}
    func getStatus(reply: Reply<StatusReply>) {}
    func listConnections(_ call: ListConnectionsCall, reply: Reply<ListConnectionsReply>) {}
  }

  private final class Bench {
    let handler = Handler()
    let path = "/tmp/hf-events-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    let server: ControlServer
    let client: Descriptor
    let connection: ControlConnection

    init() throws {
      server = try ControlServer(path: path, mode: 0o600, info: .holdfast)
      client = try UnixSocket.connect(to: path)
      connection = try #require(try server.accept(handler: handler))
      let call = Array(#"{"method":"io.holdfast.Monitor","more":true}"#.utf8) + [0]
      _ = try DescriptorPassing.send(call[...], over: client.number)
      connection.readable()
    }

    /// Everything that comes until there is no more.
    func replies() throws -> [Substring] {
      var bytes: [UInt8] = []
      var space = [UInt8](repeating: 0, count: 1 << 16)
      while true {
        if connection.wantsWrite { connection.writable() }
        let count = recv(client.number, &space, space.count, Int32(MSG_DONTWAIT))
        if count > 0 { bytes += space[..<count] }
        if count <= 0, !connection.wantsWrite { break }
      }
      return String(decoding: bytes, as: UTF8.self).split(separator: "\0")
    }
  }

  @Test func whoDoesNotReadIsLetGoWithAnError() throws {
    let bench = try Bench()
    for number in 0..<100_000 { bench.handler.feed.publish(.role, pair: "web", "number \(number)") }
    let replies = try bench.replies()
    #expect(replies.count > 1000 && replies.count < 100_000)
    #expect(replies.first?.contains("number 0") == true && replies.first?.contains("\"continues\":true") == true)
    #expect(replies.last?.hasPrefix(#"{"error":"io.holdfast.LimitExceeded""#) == true)
    #expect(replies.dropLast().allSatisfy { $0.contains("\"kind\":\"role\"") })
    bench.handler.feed.publish(.role, pair: "web", "later")
    #expect(try bench.replies().isEmpty)
  }

  @Test func theKindsAreThoseOfTheInterface() throws {
    let text = try #require(InterfaceDescription.text(of: "io.holdfast"))
    let words = Set(text.split { !$0.isLetter }.map(String.init))
    for kind in EventKind.allCases { #expect(words.contains(kind.rawValue), "\(kind)") }
  }
}
