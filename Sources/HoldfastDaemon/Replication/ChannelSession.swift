internal import LinuxNetwork
internal import Replication
internal import SystemCalls

/// One connection of the replication channel: frames in, bytes out, whatever the transport does to them on the way.
final class ChannelSession {
  let transport: any ByteTransport
  private var incoming = IncomingStream()
  private var events: IOSource?
  private let loop: EventLoop
  private var wantsWrite = false
  /// The stream has bytes that the transport did not take.
  private var isHeldUp = false
  private(set) var isClosed = false
  private var pieces: [UnsafeRawBufferPointer] = []

  /// One frame; throws when it cannot be followed, which ends the session.
  var onFrame: ((Frame) throws(ProtocolError) -> Void)?
  /// After a burst of frames has been handed out: the moment to acknowledge them.
  var onBurst: (() -> Void)?
  /// The transport takes bytes again.
  var onWritable: (() -> Void)?
  /// The session is over, for this reason; called once.
  var onClose: ((String) -> Void)?

  init(_ transport: any ByteTransport, loop: EventLoop) throws(SystemCallError) {
    self.transport = transport
    self.loop = loop
    events = try loop.addIO(
      transport.descriptor, .readable, priority: LoopPriority.replication, description: "replication channel"
    ) { [weak self] ready in self?.handle(ready) }
  }

  /// The stream position of what has been handed out.
  var position: UInt64 { incoming.position }
  func rebase(to position: UInt64) { incoming.rebase(to: position) }

  private func handle(_ ready: IOEvents) {
    if ready.contains(.writable) {
      becameWritable()
      if isClosed { return }
    }
    if !ready.isDisjoint(with: [.readable, .hangup, .error]) { readBurst() }
  }

  private func becameWritable() {
    do {
      try transport.flush()
    } catch {
      return close("\(error)")
    }
    wait()
    onWritable?()
  }

  private func readBurst() {
    let wasEstablished = transport.isEstablished
    do {
      var turns = 0
      while turns < Self.readsPerTurn || transport.hasBufferedInput {
        turns += 1
        let space = incoming.space()
        guard let count = try transport.read(into: space) else { break }
        guard count > 0 else { return close("the other side closed the channel") }
        incoming.commit(count)
        while let frame = try incoming.next() {
          try onFrame?(frame)
          if isClosed { return }
        }
        // Less than there was room for: nothing is left.
        if count < space.count { break }
      }
    } catch let error as ProtocolError {
      return close("\(error)")
    } catch {
      return close("\(error)")
    }
    onBurst?()
    if isClosed { return }
    // What was to be written may have waited for the other side's part of a handshake.
    if transport.isEstablished != wasEstablished { onWritable?() }
    wait()
  }
  private static let readsPerTurn = 4

  /// Writes what the transport takes; the rest goes when it is writable again.
  /// - Returns: why the session cannot go on, if so. The caller closes it then, and not this function: whoever hears of the end
  ///   wants the stream, which is in use here.
  func flush(_ stream: inout OutgoingStream) -> String? {
    guard !isClosed else { return nil }
    do {
      while stream.unsentCount > 0 {
        stream.pieces(into: &pieces)
        guard let count = try transport.write(pieces) else { break }
        stream.consume(count)
      }
    } catch {
      return "\(error)"
    }
    isHeldUp = stream.unsentCount > 0
    wait()
    return nil
  }

  /// Watches for the moment at which what waits can go on.
  private func wait() {
    guard !isClosed else { return }
    let wanted = transport.hasUnsentBytes || (isHeldUp && transport.isEstablished)
    if wanted != wantsWrite {
      wantsWrite = wanted
      events?.setEvents(wanted ? [.readable, .writable] : .readable)
    }
  }

  func close(_ reason: String) {
    guard !isClosed else { return }
    isClosed = true
    events?.cancel()
    events = nil
    let onClose = self.onClose
    // The closures hold this session's owner, and the owner this session.
    onFrame = nil
    onBurst = nil
    onWritable = nil
    self.onClose = nil
    onClose?(reason)
  }
}
