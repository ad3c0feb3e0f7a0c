import Glibc
import Lab
@testable import LinuxNetwork
import TCPModel
import Testing

/// One or both sides have said their FIN when the host dies. The peer, which knows nothing of it, must get to the end of both
/// streams without a reset and without a byte too many.
@Suite struct RestoreHalfClosedTests {
  /// What became of the host's FIN and of the data before it.
  enum Fate: CaseIterable {
    /// The peer never got them; they go back as unsent.
    case lostAndSentAsNew
    /// The peer never got them; they go back as already sent, and the kernel's timers find out.
    case lostAndCountedAsSent
    /// The peer has them, and its acknowledgement was lost.
    case delivered
  }

  static let kinds: [Wire.Kind] = [.v4, .v6]

  // MARK: The peer has finished

  @Test(arguments: kinds)
  func closeWaitGoesOnSending(_ kind: Wire.Kind) throws {
    let line = try Wire().connect(kind)
    try line.exchange()
    try line.peer.finishWriting()
    try line.reaches(.closeWait)
    let snapshot = try line.move()
    #expect(snapshot.state.finReceived && !snapshot.state.finSent)
    #expect(try line.state(line.host) == .closeWait)
    try line.expectEnd(of: line.host, "the host")
    try line.hostWrites(30_000)
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test func closeWaitWithInputThatNobodyHasRead() throws {
    let line = try Wire().connect()
    try line.exchange()
    try line.peerWrites(5000)
    try line.peer.finishWriting()
    try line.reaches(.closeWait)
    let snapshot = try line.move()
    #expect(snapshot.state.receiveQueue.count == 5000)
    try line.hostReadsAll()
    try line.expectEnd(of: line.host, "the host")
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test func closeWaitWithOutputThatWasLost() throws {
    let line = try Wire().connect()
    try line.exchange()
    try line.peer.finishWriting()
    try line.reaches(.closeWait)
    try line.wire.peerLock.close()
    try line.hostWrites(9000)
    let snapshot = try line.move(whileLocked: { try line.wire.peerLock.open(losing: true) })
    #expect(snapshot.state.sendQueue.count == 9000)
    try line.peerReadsAll()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  // MARK: The host has finished

  @Test(arguments: Fate.allCases)
  func finWait1(_ fate: Fate) throws {
    let line = try Wire().connect()
    try line.exchange()
    let snapshot = try move(line, fate) {
      try line.hostWrites(4000)
      try line.host.finishWriting()
      try line.reaches(.finWait1)
    }
    #expect(snapshot.state.finSent && !snapshot.state.finReceived)
    #expect(snapshot.state.sendQueue.count == 4000)
    try line.peerReadsAll()
    try line.expectEnd(of: line.peer, "the peer")
    try line.reaches(.finWait2)
    // The other half is open still.
    try line.peerWrites(20_000)
    try line.hostReadsAll()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// A FIN alone: there is nothing else in flight.
  @Test(arguments: Fate.allCases)
  func finWait1WithoutData(_ fate: Fate) throws {
    let line = try Wire().connect()
    try line.exchange()
    let snapshot = try move(line, fate) {
      try line.host.finishWriting()
      try line.reaches(.finWait1)
    }
    #expect(snapshot.state.sendQueue.isEmpty)
    #expect(snapshot.state.sndNxt.distance(from: snapshot.state.sndUna) == 1)
    try line.expectEnd(of: line.peer, "the peer")
    try line.reaches(.finWait2)
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// The FIN waits behind data that the peer has no room for: neither is on the wire, and the application says both again.
  @Test func finWait1WithAFinThatWasNotSent() throws {
    let line = try Wire().connect(receiveBuffer: 4096)
    try wait(for: "the peer's window to close", until: .seconds(10)) {
      try line.hostWrites(100_000)
      return try TCPInfo(line.host.number).unsentBytes > 10_000
        && SocketQueues.unacknowledged(line.host.number)
          == SocketQueues.unsent(line.host.number)
    }
    try line.host.finishWriting()
    try line.reaches(.finWait1)
    let unsent = try SocketQueues.unsent(line.host.number)
    let snapshot = try line.move()
    #expect(!snapshot.state.finSent)
    #expect(snapshot.unsentCount == unsent - 1)
    #expect(try line.state(line.host) == .established)
    try line.hostWrites(3000)
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test(arguments: kinds)
  func finWait2GoesOnReceiving(_ kind: Wire.Kind) throws {
    let line = try Wire().connect(kind)
    try line.exchange()
    try line.host.finishWriting()
    try line.reaches(.finWait2)
    let snapshot = try line.move()
    #expect(snapshot.state.finSent && snapshot.state.sndUna == snapshot.state.sndNxt)
    #expect(try line.state(line.host) == .finWait2)
    try line.peerWrites(100_000)
    try line.hostReadsAll()
    try line.expectEnd(of: line.peer, "the peer")
    try line.finish()
    try line.wire.expectNoHarm()
  }

  // MARK: Both have finished

  @Test(arguments: Fate.allCases)
  func closing(_ fate: Fate) throws {
    let line = try Wire().connect()
    try line.exchange()
    try line.wire.peerLock.close()
    try line.hostWrites(4000)
    try line.host.finishWriting()
    try line.peer.finishWriting()
    try line.reaches(.closing)
    let snapshot = try moveNow(line, fate)
    #expect(snapshot.state.finSent && snapshot.state.finReceived)
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test(arguments: Fate.allCases)
  func lastAck(_ fate: Fate) throws {
    let line = try Wire().connect()
    try line.exchange()
    try line.peer.finishWriting()
    try line.reaches(.closeWait)
    let snapshot = try move(line, fate) {
      try line.hostWrites(4000)
      try line.host.finishWriting()
      try line.reaches(.lastAck)
    }
    #expect(snapshot.state.finSent && snapshot.state.finReceived)
    #expect(snapshot.state.sndNxt.distance(from: snapshot.state.sndUna) == 4001)
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// All is said and acknowledged, but the application has not read the last of it: the restored socket has that and the end.
  @Test(arguments: kinds)
  func inputOutlivesTheConnection(_ kind: Wire.Kind) throws {
    let line = try Wire().connect(kind)
    try line.exchange()
    try line.peerWrites(2000)
    try line.peer.finishWriting()
    try line.reaches(.closeWait)
    try line.wire.hostLock.close()
    var snapshot = try line.dump()
    try line.host.finishWriting()
    try line.reaches(.lastAck)
    try line.expectEnd(of: line.peer, "the peer")
    let ended = try line.dump().state
    try line.vanish()
    try line.wire.hostLock.work(losing: true)
    #expect(ended.receiveQueue == snapshot.state.receiveQueue)
    // The last acknowledgement came before the host died.
    snapshot = RepairSnapshot(state: ended, unsentCount: 0)
    try line.restore(snapshot, edit: { $0.sndUna = $0.sndNxt })
    try line.wire.hostLock.open()
    try line.hostReadsAll()
    try line.expectEnd(of: line.host, "the host")
    #expect(try line.state(line.host) == .close)
    try wait(for: "the peer to close", until: .seconds(10)) { try line.state(line.peer) == .close }
    try line.wire.expectNoHarm()
  }

  /// Moves the host's end after `body`, what it sends meanwhile having the given fate.
  private func move(_ line: Line, _ fate: Fate, _ body: () throws -> Void) throws -> RepairSnapshot {
    try line.wire.peerLock.close()
    try body()
    return try moveNow(line, fate)
  }

  /// What the host has sent waits at the peer's lock.
  private func moveNow(_ line: Line, _ fate: Fate) throws -> RepairSnapshot {
    switch fate {
    case .lostAndSentAsNew: return try line.move(whileLocked: { try line.wire.peerLock.open(losing: true) })
    case .lostAndCountedAsSent:
      return try line.move(boundary: \.sndNxt, whileLocked: { try line.wire.peerLock.open(losing: true) })
    case .delivered:
      try line.wire.hostLock.close()
      let snapshot = try line.dump()
      try line.vanish()
      try line.wire.peerLock.open()
      try line.peerReadsAll()
      try line.expectEnd(of: line.peer, "the peer")
      try line.wire.hostLock.work(losing: true)
      try line.restore(snapshot, boundary: \.sndNxt)
      try line.wire.hostLock.open()
      return snapshot
    }
  }
}
