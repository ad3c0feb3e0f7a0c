import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import SystemCalls
import TCPModel

/// One connection over a `Wire`: both ends, and the offsets that both have reached.
final class Line {
  let wire: Wire
  /// The end that is moved.
  private(set) var host: TCPSocket
  let peer: TCPSocket
  private var listener: TCPSocket?

  private let outbound = Pattern(seed: 1)
  private let inbound = Pattern(seed: 2)
  /// Bytes that the host has written, and that the peer has read, and the other way round.
  private(set) var hostSent: UInt64 = 0
  private(set) var peerReceived: UInt64 = 0
  private(set) var peerSent: UInt64 = 0
  private(set) var hostReceived: UInt64 = 0

  init(wire: Wire, host: TCPSocket, peer: TCPSocket, listener: TCPSocket) {
    self.wire = wire
    self.host = host
    self.peer = peer
    self.listener = listener
  }

  /// The server ends, its connections stay.
  func stopListening() { listener = nil }

  // MARK: Traffic

  /// Writes what the socket takes, `count` bytes at most.
  @discardableResult
  func hostWrites(_ count: Int) throws -> Int {
    let done = try write(count, to: host, outbound, at: hostSent)
    hostSent += UInt64(done)
    return done
  }

  @discardableResult
  func peerWrites(_ count: Int) throws -> Int {
    let done = try write(count, to: peer, inbound, at: peerSent)
    peerSent += UInt64(done)
    return done
  }

  private func write(_ count: Int, to socket: TCPSocket, _ pattern: Pattern, at offset: UInt64) throws -> Int {
    let bytes = pattern.bytes(offset..<offset + UInt64(count))
    var done = 0
    while done < count, let taken = try bytes.withUnsafeBytes({ try socket.write(.init(rebasing: $0[done...])) }) {
      done += taken
    }
    return done
  }

  /// Reads until the peer has got all that the host has written, and checks every byte.
  func peerReadsAll(within seconds: Double = 10) throws {
    try read(&peerReceived, upTo: hostSent, from: peer, outbound, "the peer", seconds)
  }

  func hostReadsAll(within seconds: Double = 10) throws {
    try read(&hostReceived, upTo: peerSent, from: host, inbound, "the host", seconds)
  }

  private func read(
    _ offset: inout UInt64, upTo end: UInt64, from socket: TCPSocket, _ pattern: Pattern, _ who: String,
    _ seconds: Double
  ) throws {
    let deadline = Deadline.seconds(seconds)
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while offset < end {
      guard let count = try chunk.withUnsafeMutableBytes({ try socket.read(into: $0) }) else {
        if seconds == 0 { return }
        var entry = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, deadline.remainingMilliseconds) > 0 else {
          throw LabError("\(who) waited in vain for byte \(offset) of \(end)")
        }
        continue
      }
      guard count > 0 else { throw LabError("\(who) read the end of the stream at byte \(offset) of \(end)") }
      let wrong = chunk.withUnsafeBytes { pattern.firstMismatch(in: .init(rebasing: $0[..<count]), from: offset) }
      if let wrong { throw LabError("\(who) read a wrong byte at \(wrong)") }
      offset += UInt64(count)
    }
  }

  /// Both ends write and read; the streams are what they should be.
  func exchange(_ count: Int = 3000) throws {
    try hostWrites(count)
    try peerWrites(count)
    try peerReadsAll()
    try hostReadsAll()
  }

  /// The host writes `count` bytes and the peer reads them; `step` is called again and again meanwhile.
  func exchangeWhile(bytes count: Int, _ step: () throws -> Void) throws {
    let end = hostSent + UInt64(count)
    try wait(for: "\(count) bytes to pass", until: .seconds(60), every: 0) {
      if hostSent < end { try hostWrites(min(Int(end - hostSent), 1 << 16)) }
      try step()
      try peerReadsAll(within: 0)
      return peerReceived == end
    }
  }

  /// The end of the stream, and nothing before it.
  func expectEnd(of socket: TCPSocket, _ who: String) throws {
    var byte: UInt8 = 0
    try wait(for: "the end of the stream at \(who)", until: .seconds(10)) {
      guard let count = try withUnsafeMutableBytes(of: &byte, { try socket.read(into: $0) }) else { return false }
      guard count == 0 else { throw LabError("\(who) read more than was written") }
      return true
    }
  }

  /// Ends what is still open, the host first, and sees both sides to their ends.
  func finish() throws {
    if try isOpen(host) { try host.finishWriting() }
    try peerReadsAll()
    try expectEnd(of: peer, "the peer")
    if try isOpen(peer) { try peer.finishWriting() }
    try hostReadsAll()
    try expectEnd(of: host, "the host")
    try wait(for: "both ends to close", until: .seconds(10)) { try state(host) == .close && state(peer) == .close }
  }

  func state(_ socket: TCPSocket) throws -> TCPState { try TCPInfo(socket.number).state }

  /// It has not ended its own half.
  private func isOpen(_ socket: TCPSocket) throws -> Bool {
    let state = try state(socket)
    return state == .established || state == .closeWait
  }

  func reaches(_ expected: TCPState) throws {
    try wait(for: "\(expected)", until: .seconds(10)) { try state(host) == expected }
  }

  // MARK: Moving

  /// Takes the host's end apart without a packet: what its repair state was.
  func dump() throws -> RepairSnapshot {
    try wire.host.run { try RepairSnapshot.dump(host.number) }
  }

  /// The host is gone: its socket ends and says nothing.
  func vanish() throws { try RestoredSocket.abandonSilently(host.number) }

  /// The host's end dies and is restored from `state` while nothing can arrive. Output that was not sent is written again, as the
  /// application would.
  /// - Parameter boundary: what is below it goes back as already sent; by default nothing.
  @discardableResult
  func move(
    boundary: (ConnectionState) -> SequenceNumber = { $0.sndUna }, probes: Bool = true,
    whileLocked: () throws -> Void = {}, edit: (inout ConnectionState) -> Void = { _ in }
  ) throws -> RepairSnapshot {
    try wire.hostLock.close()
    let snapshot = try dump()
    try vanish()
    try whileLocked()
    try restore(snapshot, boundary: boundary, probes: probes, edit: edit)
    try wire.hostLock.open()
    return snapshot
  }

  func restore(
    _ snapshot: RepairSnapshot, boundary: (ConnectionState) -> SequenceNumber = { $0.sndUna }, probes: Bool = true,
    edit: (inout ConnectionState) -> Void = { _ in }
  ) throws {
    var state = snapshot.state
    edit(&state)
    let plan = RestorePlan(state: state, sentBoundary: boundary(state), probes: probes)
    host = try wire.host.run {
      TCPSocket(owning: try RestoredSocket.build(plan).leave(sender: RawSender()).release())
    }
    hostSent -= UInt64(snapshot.unsentCount)
  }
}
