import Glibc
import Lab
import HostCore
import LinuxNetwork
import Pairing
import SystemCalls
import TCPModel
import Testing

@testable import HoldfastDaemon

/// On loopback sockets: repair mode needs root, as all tests here do.
@Suite struct OptionWatchTests {
  private func connection(restored: Bool = false) throws -> (LiveConnection, TCPSocket, [TCPSocket]) {
    let loopback = IPAddress(v4: 0x7f00_0001)
    let listener = try TCPSocket.listen(on: Endpoint(address: loopback, port: 0))
    let peer = try TCPSocket.connect(to: try #require(listener.localEndpoint))
    var accepted: TCPSocket?
    try wait(for: "a connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    let socket = try #require(accepted)
    let snapshot = try RepairSnapshot.take(socket.number)
    let identity = ConnectionIdentity(id: 1, service: "test", key: nil, retention: .read)
    let image = LedgerImage(registering: snapshot.state, as: identity, unsent: 0)
    let live = try LiveConnection(
      ledger: Ledger(image), socket: SharedDescriptor(Descriptor(owning: dup(socket.number))), state: snapshot.state,
      owner: nil)
    return (live, socket, [listener, peer])
  }

  private func watch(_ loop: EventLoop, table: ConnectionTable = ConnectionTable()) throws -> OptionWatch {
    let configuration = PairMachine.Configuration(
      node: "alpha", pair: "web", prefersActive: true, paths: 1, interval: 50_000_000, deadAfter: 200_000_000,
      exposeAfter: 500_000_000, mayExpose: true)
    let host = Host(PairMachine(configuration, instance: 1, now: MonotonicClock.now))
    return try OptionWatch(table: table, feed: ReplicationFeed(host, loop: loop), loop: loop)
  }

  @Test func aChangedOptionIsToldOnce() throws {
    try onOwnThread {
      let watch = try self.watch(EventLoop())
      let (live, socket, others) = try self.connection()
      #expect(!watch.look(at: live))
      try socket.setTCP(TCP_KEEPIDLE, 77)
      #expect(watch.look(at: live))
      #expect(live.ledger.options.values[.keepIdle] == 77)
      #expect(!watch.look(at: live))
      try socket.set(SOL_SOCKET, SO_MARK, 0x155)
      #expect(watch.look(at: live))
      #expect(live.ledger.options.values[.mark] == 0x155)
      withExtendedLifetime(others) {}
    }
  }

  /// Sizes that the kernel tunes change all the time and say nothing.
  @Test func trafficIsNoChange() throws {
    try onOwnThread {
      let watch = try self.watch(EventLoop())
      let (live, socket, others) = try self.connection()
      let sizes = { try [SO_SNDBUF, SO_RCVBUF].map { try socket.get(SOL_SOCKET, $0) } }
      let before = try sizes()
      var bytes = [UInt8](repeating: 0, count: 1 << 16)
      try wait(for: "the kernel to tune a buffer", until: .seconds(10), every: 0) {
        for (writer, reader) in [(socket, others[1]), (others[1], socket)] {
          _ = try bytes.withUnsafeBytes { try writer.write($0) }
          _ = try bytes.withUnsafeMutableBytes { try reader.read(into: $0) }
        }
        return try sizes() != before
      }
      #expect(!watch.look(at: live))
    }
  }

  /// A socket that was restored with output in flight has a short longest timeout for a while, acknowledged or not; it is not the
  /// application's wish.
  @Test func theHasteOfATakeoverEndsInTime() throws {
    try onOwnThread {
      let table = ConnectionTable()
      let watch = try self.watch(EventLoop(), table: table)
      let (live, socket, others) = try self.connection()
      table.insert(live)
      let usual = try socket.getTCP(44)
      try socket.setTCP(44, 1000)
      live.hasteEnds = 2000
      watch.endHaste(now: 1999)
      #expect(!watch.look(at: live))
      #expect(try socket.getTCP(44) == 1000)
      watch.endHaste(now: 2000)
      #expect(live.hasteEnds == nil)
      #expect(try socket.getTCP(44) == usual)
      #expect(!watch.look(at: live))
      withExtendedLifetime(others) {}
    }
  }
}
