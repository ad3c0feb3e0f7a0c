internal import CLinux
internal import Glibc
internal import SystemCalls
internal import SystemPackage
public import TCPModel

/// The repair state of a live socket, taken once, at registration: the one moment at which TCP_REPAIR touches it.
///
/// The application must be quiet (it waits in its call), and the connection's packets must be held by the queues: in repair mode
/// its send and recv fail, and with the send queue selected an arriving ACK would mark unsent data as sent.
public struct RepairSnapshot: Sendable {
  public let state: ConnectionState
  /// Bytes that the application has written and that have not been sent yet; not part of `state`.
  public let unsentCount: Int

  /// - Throws: `UnsupportedSocket` when the socket cannot be moved, `SystemCallError` when a call fails. In both cases it is as
  ///   it was.
  public static func take(_ socket: Int32) throws -> RepairSnapshot {
    try SocketInspection.validate(socket)
    return try dump(socket)
  }

  /// As `take`, in every state that a connection can be in when its host dies; what would be refused at registration is not
  /// looked for.
  package static func dump(_ socket: Int32) throws -> RepairSnapshot {
    let (flow, isMapped) = try SocketInspection.flow(socket)
    let options = SocketOptionsCopy.read(socket)
    do {
      try SocketOption.repair.set(socket, Int32(HF_TCP_REPAIR_ON))
    } catch  where error.errno.rawValue == ENOPROTOOPT {
      throw UnsupportedSocket("it uses Multipath TCP: open it as plain TCP (IPPROTO_TCP)")
    } catch  where error.errno == .notPermitted {
      throw UnsupportedSocket(
        "TCP_REPAIR is not permitted: the daemon needs CAP_NET_ADMIN over the socket's network namespace")
    }
    defer { leave(socket, reuseAddress: options.values[.reuseAddress] ?? 0) }
    return try inRepair(socket, flow: flow, isMapped: isMapped, options: options)
  }

  /// Ends repair mode without a packet; it clears SO_REUSEADDR, which a restarting server needs.
  static func leave(_ socket: Int32, reuseAddress: Int32) {
    try? SocketOption.repairQueue.set(socket, Queue.none.rawValue)
    try? SocketOption.repair.set(socket, Int32(HF_TCP_REPAIR_OFF_NO_WP))
    try? SocketOption.reuseAddress.set(socket, reuseAddress)
  }

  /// TCP_REPAIR_QUEUE's values (linux/tcp.h).
  enum Queue: Int32 {
    case none = 0
    case receive = 1
    case send = 2
  }

  private static func inRepair(
    _ socket: Int32, flow: Flow, isMapped: Bool, options: SocketOptions
  ) throws -> RepairSnapshot {
    let info = try TCPInfo(socket)
    let finReceived = info.state.hasReceivedFin
    let window = try repairWindow(socket)
    let clampedSegment = try SocketOption.maximumSegment.get(socket)
    // Read before the stamp: what comes between makes the restored clock a little fast, never slow.
    let now = MonotonicClock.now
    let stamp = UInt32(bitPattern: try SocketOption.timestamp.get(socket))

    try SocketOption.repairQueue.set(socket, Queue.receive.rawValue)
    let rcvNxt = SequenceNumber(UInt32(bitPattern: try SocketOption.queueSequence.get(socket)))
    let receiveQueue = try peek(socket, count: try SocketQueues.unread(socket))
    guard receiveQueue.count == (try SocketQueues.unread(socket)) else {
      throw UnsupportedSocket("its input changed during registration: the application must not read meanwhile")
    }

    let outstanding = try SocketQueues.unacknowledged(socket)
    let unsent = try SocketQueues.unsent(socket)
    try SocketOption.repairQueue.set(socket, Queue.send.rawValue)
    let writeSeq = SequenceNumber(UInt32(bitPattern: try SocketOption.queueSequence.get(socket)))
    // Both counts include a FIN, which comes last: where anything waits, it waits too.
    let isFinUnsent = info.state.hasSentFin && unsent > 0
    let isFinInFlight = info.state.hasSentFin && outstanding > 0 && !isFinUnsent
    let inFlight = max(outstanding - unsent - (isFinInFlight ? 1 : 0), 0)
    let sendQueue = try peek(socket, count: inFlight)
    try SocketOption.repairQueue.set(socket, Queue.none.rawValue)
    guard sendQueue.count == inFlight, try SocketQueues.unacknowledged(socket) == outstanding else {
      throw UnsupportedSocket("its output changed during registration: the application must not write meanwhile")
    }

    let unit: TimestampUnit = !info.hasTimestamps ? .none : info.hasMicroseconds ? .microseconds : .milliseconds
    let copiedSeq = rcvNxt - (receiveQueue.count + (finReceived ? 1 : 0))
    let state = ConnectionState(
      flow: flow, isMapped: isMapped,
      negotiated: NegotiatedOptions(
        maximumSegmentSize: UInt16(clamping: clampedSegment), sendWindowScale: info.sendWindowScale,
        receiveWindowScale: info.receiveWindowScale, windowScaling: info.hasWindowScaling,
        selectiveAcknowledgements: info.hasSelectiveAcknowledgements, timestampUnit: unit),
      sndUna: writeSeq - outstanding, sndNxt: writeSeq - unsent, sendQueue: sendQueue,
      finSent: info.state.hasSentFin && !isFinUnsent,
      copiedSeq: copiedSeq, rcvNxt: rcvNxt, receiveQueue: receiveQueue, finReceived: finReceived, window: window,
      // Bit 0 is the unit, not time: a millisecond clock reads up to one low.
      timestamp: TimestampClock(value: unit == .milliseconds ? stamp &+ 1 : stamp, moment: now, unit: unit),
      options: options)
    return RepairSnapshot(state: state, unsentCount: unsent - (isFinUnsent ? 1 : 0))
  }

  static func repairWindow(_ socket: Int32) throws(SystemCallError) -> WindowState {
    var window = hf_tcp_repair_window()
    var length = socklen_t(MemoryLayout<hf_tcp_repair_window>.size)
    try systemCall("getsockopt(TCP_REPAIR_WINDOW)") {
      getsockopt(socket, Int32(IPPROTO_TCP), Int32(HF_TCP_REPAIR_WINDOW), &window, &length)
    }
    return WindowState(
      sendWindowUpdate: SequenceNumber(window.snd_wl1), sendWindow: window.snd_wnd, maximumWindow: window.max_window,
      receiveWindow: window.rcv_wnd, receiveWindowUpdate: SequenceNumber(window.rcv_wup))
  }

  /// The first `count` bytes of the selected queue.
  static func peek(_ socket: Int32, count: Int) throws(SystemCallError) -> [UInt8] {
    guard count > 0 else { return [] }
    var failure: SystemCallError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
      do throws(SystemCallError) {
        // On the send queue the kernel returns the length of the whole queue, however little fits (tcp_peek_sndq).
        used = min(
          try systemCall("recv(MSG_PEEK)") {
            recv(socket, buffer.baseAddress, count, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
          }, count)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }
}
