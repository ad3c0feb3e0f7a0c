import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import SystemCalls
import TCPModel
import Testing

/// ESTABLISHED, with every mixture of queues that a host can leave behind.
@Suite struct RestoreEstablishedTests {
  @Test(arguments: Wire.Kind.allCases)
  func anIdleConnectionGoesOn(_ kind: Wire.Kind) throws {
    let line = try Wire().connect(kind)
    try line.exchange()
    let snapshot = try line.move()
    #expect(snapshot.state.flow.local == Wire.service(kind))
    #expect(snapshot.state.isMapped == (kind == .mapped))
    #expect(snapshot.state.sendQueue.isEmpty && snapshot.state.receiveQueue.isEmpty)
    #expect(try line.state(line.host) == .established)
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test func itMovesAgainAndAgain() throws {
    let line = try Wire().connect()
    for _ in 0..<5 {
      try line.exchange(20_000)
      try line.move()
    }
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// What was in flight is lost with the host; the restored socket sends it at once.
  @Test func outputThatThePeerLacksIsSentAsNewData() throws {
    let line = try Wire().connect()
    try line.exchange()
    try line.wire.peerLock.close()
    try line.hostWrites(9000)
    let snapshot = try line.move(whileLocked: { try line.wire.peerLock.open(losing: true) })
    #expect(snapshot.state.sendQueue.count == 9000)
    try line.peerReadsAll()
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// The other way: it counts as sent, and the kernel's own timers find out that it is lost.
  @Test func outputThatThePeerLacksIsSentAgainWhenItCountsAsSent() throws {
    let line = try Wire().connect()
    try line.exchange()
    try line.wire.peerLock.close()
    try line.hostWrites(9000)
    let snapshot = try line.move(boundary: \.sndNxt, whileLocked: { try line.wire.peerLock.open(losing: true) })
    #expect(snapshot.state.sendQueue.count == 9000)
    #expect(try line.host.getTCP(Int32(HF_TCP_RTO_MAX_MS)) == 1000)
    try line.peerReadsAll()
    RestoredSocket.endHaste(line.host.number, snapshot.state.options)
    #expect(try line.host.getTCP(Int32(HF_TCP_RTO_MAX_MS)) == 120_000)
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// The peer has it and its acknowledgements are lost: far more than a new socket may send at once, so it must count as sent.
  @Test func outputThatThePeerHasIsAcknowledgedByItsAnswerToTheProbe() throws {
    let line = try Wire().connect()
    try line.exchange(100_000)
    try line.wire.hostLock.close()
    let written = try line.hostWrites(40_000)
    try line.peerReadsAll()
    let snapshot = try line.dump()
    try line.vanish()
    try line.wire.hostLock.work(losing: true)
    try line.restore(snapshot, boundary: \.sndNxt)
    #expect(try SocketQueues.unacknowledged(line.host.number) == written)
    try line.wire.hostLock.open()
    try wait(for: "the acknowledgement", until: .seconds(10)) { try SocketQueues.unacknowledged(line.host.number) == 0 }
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// A part of it goes back as sent, the rest as new.
  @Test func theSendQueueMayBeSplitAnywhere() throws {
    let line = try Wire().connect()
    try line.exchange()
    try line.wire.peerLock.close()
    try line.hostWrites(9000)
    try line.move(boundary: { $0.sndUna + 4321 }, whileLocked: { try line.wire.peerLock.open(losing: true) })
    try line.peerReadsAll()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test(arguments: [1, 1000, 50_000, 300_000])
  func inputThatTheApplicationHasNotReadIsReadFromTheRestoredSocket(_ count: Int) throws {
    let line = try Wire().connect()
    try line.exchange()
    var written = 0
    try wait(for: "the peer to write", until: .seconds(10)) {
      written += try line.peerWrites(count - written)
      // The window may be smaller than the whole: what does not fit is not written.
      return try written == count
        || (SocketQueues.unread(line.host.number) > 0 && TCPInfo(line.peer.number).sendWindow == 0)
    }
    try wait(for: "the input", until: .seconds(10)) {
      try SocketQueues.unacknowledged(line.peer.number) == 0 || TCPInfo(line.peer.number).sendWindow < 1448
    }
    let snapshot = try line.move()
    #expect(snapshot.state.receiveQueue.count > min(count, 40_000) - 1)
    try line.hostReadsAll()
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// The peer was told that the host held what came behind a hole. The restored socket does not, and the peer must notice.
  @Test func inputBehindAHoleComesAgain() throws {
    let line = try Wire().connect()
    try line.exchange()
    try line.wire.hostLock.close()
    try line.peerWrites(1000)
    try line.peerWrites(1000)
    try line.wire.hostLock.makeHole()
    try wait(for: "the peer to learn of it", until: .seconds(10)) { try line.peer.information.sacked == 1 }
    let snapshot = try line.dump()
    #expect(snapshot.state.receiveQueue.isEmpty)
    try line.vanish()
    try line.wire.hostLock.work(losing: true)
    try line.restore(snapshot)
    try line.wire.hostLock.open()
    try line.hostReadsAll()
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// Output that the peer has no room for is in the snapshot as a number alone: it is not on the wire, so the application writes
  /// it again.
  @Test func unsentOutputIsLeftToTheApplication() throws {
    let line = try Wire().connect(receiveBuffer: 4096)
    try wait(for: "the peer's window to close", until: .seconds(10)) {
      try line.hostWrites(100_000)
      return try TCPInfo(line.host.number).unsentBytes > 10_000
        && SocketQueues.unacknowledged(line.host.number)
          == SocketQueues.unsent(line.host.number)
    }
    let before = line.hostSent
    let snapshot = try line.move()
    #expect(snapshot.unsentCount > 10_000)
    #expect(line.hostSent + UInt64(snapshot.unsentCount) == before)
    // From here on the stream goes on at what was sent.
    try line.peerReadsAll()
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test func aZeroWindowOpensAgain() throws {
    let line = try Wire().connect(receiveBuffer: 4096)
    try wait(for: "the peer's window to close", until: .seconds(10)) {
      try line.hostWrites(100_000)
      return try TCPInfo(line.host.number).sendWindow == 0
    }
    try line.move()
    #expect(try TCPInfo(line.host.number).sendWindow < 1448)
    try line.hostWrites(5000)
    try line.peerReadsAll()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// A restore that fails leaves nothing behind, and the connection that is in its way unharmed.
  @Test func aFlowThatIsInUseIsAnErrorThatNamesIt() throws {
    let line = try Wire().connect()
    try line.exchange()
    let snapshot = try line.dump()
    let failure = #expect(throws: SystemCallError.self) { try line.restore(snapshot) }
    #expect(failure?.call == "connect")
    #expect(failure?.subject.contains("10.77.0.1:7000") == true)
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }
}
