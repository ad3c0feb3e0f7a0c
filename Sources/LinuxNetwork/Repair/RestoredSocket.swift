internal import CLinux
internal import Glibc
public import SystemCalls
internal import SystemPackage
public import TCPModel

/// How one connection is to be restored.
public struct RestorePlan: Sendable {
  public var state: ConnectionState
  /// [snd_una, boundary) is put back as already sent: acknowledgements of it are in order, and the kernel's timers send it again.
  /// [boundary, snd_nxt) is written as ordinary unsent data once repair mode has ended: it goes out at once.
  public var sentBoundary: SequenceNumber
  /// Whether the kernel asks the peer for its position when the socket leaves repair mode. One question is enough: a peer answers
  /// them at most twice a second.
  public var probes: Bool

  public init(state: ConnectionState, sentBoundary: SequenceNumber, probes: Bool) {
    self.state = state
    self.sentBoundary = sentBoundary
    self.probes = probes
  }
}

/// A socket that continues a connection of another host.
///
/// `build` makes it whole, in repair mode and silent; `leave` lets it speak. While it is built no packet of the connection may
/// reach it. The order of calls follows what the kernel checks and overwrites (Linux 6.1 to 7.2); see the comments.
public final class RestoredSocket {
  /// Until it is handed on.
  private var socket: Descriptor?
  private let number: Int32
  private let state: ConnectionState
  private let sentBoundary: SequenceNumber
  private let probes: Bool
  private let isV6: Bool
  private let defaults: SocketOptionsCopy.Defaults
  /// For errors: making it takes as long as a system call.
  private var subject: String { "\(state.flow)" }

  /// - Throws: `SystemCallError` naming the connection; nothing is left behind, and nothing was sent.
  public static func build(_ plan: RestorePlan) throws(SystemCallError) -> RestoredSocket {
    let restored = try RestoredSocket(plan)
    try restored.connect(plan)
    try restored.negotiate()
    try restored.fill()
    return restored
  }

  private init(_ plan: RestorePlan) throws(SystemCallError) {
    state = plan.state
    sentBoundary = plan.sentBoundary
    probes = plan.probes
    isV6 = plan.state.isMapped || plan.state.flow.local.address.isIPv6
    let family = isV6 ? AF_INET6 : AF_INET
    number = try systemCall("socket", on: "\(plan.state.flow)") {
      Glibc.socket(
        family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), Int32(IPPROTO_TCP))
    }
    socket = Descriptor(owning: number)
    guard ResourceLimits.leavesReserve(number) else {
      throw SystemCallError("socket", on: "\(plan.state.flow)", errno: .tooManyOpenFiles)
    }
    defaults = Self.defaults(isV6: isV6, of: number)
  }

  /// What a new socket's options are: the same for all of a family, so they are read once.
  nonisolated(unsafe) private static var knownDefaults:
    (v4: SocketOptionsCopy.Defaults?, v6: SocketOptionsCopy.Defaults?) = (nil, nil)
  private static func defaults(isV6: Bool, of socket: Int32) -> SocketOptionsCopy.Defaults {
    if let known = isV6 ? knownDefaults.v6 : knownDefaults.v4 { return known }
    let read = SocketOptionsCopy.Defaults(SocketOptionsCopy.read(socket))
    if isV6 { knownDefaults.v6 = read } else { knownDefaults.v4 = read }
    return read
  }

  private func connect(_ plan: RestorePlan) throws(SystemCallError) {
    try set(.repair, Int32(HF_TCP_REPAIR_ON))
    if let mark = state.options.values[.mark], mark != 0 { try set(.mark, mark) }
    // The address may not be on an interface yet; connect would fail with less than IP_TRANSPARENT.
    try set(isV6 ? .transparentV6 : .transparent, 1)
    if state.isMapped { try set(.onlyV6, 0) }
    // connect() computes the current MSS from this; what TCP_REPAIR_OPTIONS sets later would not change it any more, and the
    // connection would go on in segments of 524 bytes.
    try set(.maximumSegment, Int32(max(state.negotiated.maximumSegmentSize, 88)))
    try reserveBuffers()
    try systemCall("bind", on: subject) {
      SocketAddress.with(state.flow.local, mapped: state.isMapped) { bind(number, $0, $1) }
    }
    try select(.receive)
    try set(.queueSequence, Int32(bitPattern: state.copiedSeq.rawValue))
    try select(.send)
    // A FIN that the peer has acknowledged is made again, and takes the last sequence number again.
    try set(.queueSequence, Int32(bitPattern: (isFinAcknowledged ? state.sndUna - 1 : state.sndUna).rawValue))
    try systemCall("connect", on: subject) {
      SocketAddress.with(state.flow.peer, mapped: state.isMapped) { Glibc.connect(number, $0, $1) }
    }
  }

  /// Bytes, half of what the kernel counts: more than it gives a new connection (tcp_init_buffer_space).
  private static let firstSendBuffer: Int32 = 1 << 16
  /// The send queue does not fit into what a new socket has.
  private var needsRoomForOutput: Bool { state.sendQueue.count > 1 << 14 }

  /// Room for the queues. Forcing a size locks the kernel's tuning, so the lock is put back to what the application had; sizes
  /// that it had fixed follow when the queues are filled.
  private func reserveBuffers() throws(SystemCallError) {
    let locked = state.options.values[.bufferLock] ?? 0
    let output = Int32(clamping: state.sendQueue.count * 2 + (1 << 16))
    var forced = false
    if locked & 1 != 0, let size = state.options.values[.sendBuffer] {
      try set(.sendBufferForce, max(size / 2, output))
    } else if needsRoomForOutput {
      try set(.sendBufferForce, output)
      forced = true
    }
    if locked & 2 != 0, let size = state.options.values[.receiveBuffer] {
      try set(.receiveBufferForce, max(size / 2, Int32(clamping: state.receiveQueue.count * 2)))
    } else if state.receiveQueue.count > 1 << 16 {
      try set(.receiveBufferForce, Int32(clamping: state.receiveQueue.count * 2))
      forced = true
    }
    if forced { try? SocketOption.bufferLock.set(number, locked) }
  }

  /// Sizes that the application had fixed (SO_SNDBUF, SO_RCVBUF); the kernel reports twice what was set. What the kernel tunes
  /// begins as in a new connection: in the room that its queue has needed an application would leave several times as much, and
  /// with each further move more.
  private func fixBuffers() {
    let locked = state.options.values[.bufferLock] ?? 0
    if locked & 1 != 0, let size = state.options.values[.sendBuffer] {
      try? SocketOption.sendBufferForce.set(number, size / 2)
    } else if needsRoomForOutput {
      try? SocketOption.sendBufferForce.set(number, Self.firstSendBuffer)
      try? SocketOption.bufferLock.set(number, locked)
    }
    if locked & 2 != 0, let size = state.options.values[.receiveBuffer] {
      try? SocketOption.receiveBufferForce.set(number, size / 2)
    }
  }

  private func negotiate() throws(SystemCallError) {
    let negotiated = state.negotiated
    // TCPOPT_MSS 2, TCPOPT_WINDOW 3, TCPOPT_SACK_PERM 4, TCPOPT_TIMESTAMP 8.
    var options = [hf_tcp_repair_opt(code: 2, value: UInt32(negotiated.maximumSegmentSize))]
    // Without scaling too, then 0 for both: connect() has put this host's own shift in, and the kernel shifts what it announces
    // by that whether scaling was agreed on or not (tcp_select_window, Linux 6.18). A window of 63 bytes would come of it.
    let (send, receive) =
      negotiated.windowScaling ? (negotiated.sendWindowScale, negotiated.receiveWindowScale) : (0, 0)
    options.append(hf_tcp_repair_opt(code: 3, value: UInt32(send) | UInt32(receive) << 16))
    if negotiated.selectiveAcknowledgements { options.append(hf_tcp_repair_opt(code: 4, value: 0)) }
    if negotiated.timestampUnit != .none { options.append(hf_tcp_repair_opt(code: 8, value: 0)) }
    try systemCall("setsockopt(TCP_REPAIR_OPTIONS)", on: subject) {
      setsockopt(
        number, Int32(IPPROTO_TCP), Int32(HF_TCP_REPAIR_OPTIONS), options,
        socklen_t(options.count * MemoryLayout<hf_tcp_repair_opt>.stride))
    }
    // After connect(), which takes the unit from the route.
    if negotiated.timestampUnit != .none {
      try set(.timestamp, Int32(bitPattern: state.timestamp.socketOptionValue(at: MonotonicClock.now)))
    }
  }

  private var sentCount: Int { min(max(sentBoundary.distance(from: state.sndUna), 0), state.sendQueue.count) }

  private func fill() throws(SystemCallError) {
    if !state.receiveQueue.isEmpty {
      try select(.receive)
      try write(state.receiveQueue[...], "send(receive queue)")
    }
    // Its checks compare with rcv_nxt, so the receive queue comes first. A peer's FIN is not part of it yet.
    let rcvNxt = state.copiedSeq + state.receiveQueue.count
    let window = state.window
    let offeredEnd = window.receiveWindowUpdate + Int(window.receiveWindow)
    var repair = hf_tcp_repair_window(
      snd_wl1: (rcvNxt - 1).rawValue, snd_wnd: window.sendWindow,
      max_window: max(window.maximumWindow, window.sendWindow),
      rcv_wnd: UInt32(clamping: max(offeredEnd.distance(from: rcvNxt), 0)), rcv_wup: rcvNxt.rawValue)
    try systemCall("setsockopt(TCP_REPAIR_WINDOW)", on: subject) {
      setsockopt(
        number, Int32(IPPROTO_TCP), Int32(HF_TCP_REPAIR_WINDOW), &repair,
        socklen_t(MemoryLayout<hf_tcp_repair_window>.size))
    }
    if sentCount > 0 {
      try select(.send)
      try write(state.sendQueue[..<sentCount], "send(send queue)")
    }
    try select(.none)
  }

  /// Ends repair mode: the socket probes its peer, which is also the acknowledgement that the dead host may have owed, and sends
  /// what was not marked as sent. Half-closed states are completed with segments that are injected by `sender`.
  /// - Returns: the socket, non-blocking, ready for its application.
  public consuming func leave(sender: RawSender) throws(SystemCallError) -> Descriptor {
    if state.finReceived || state.finSent { try closeHalves(sender) }
    try set(.repair, Int32(probes ? HF_TCP_REPAIR_OFF : HF_TCP_REPAIR_OFF_NO_WP))
    try set(.reuseAddress, state.options.values[.reuseAddress] ?? 1)
    SocketOptionsCopy.apply(state.options, to: number, defaults: defaults)
    if sentCount > 0 { try? SocketOption.maximumTimeout.set(number, Self.takeoverTimeout) }
    if sentCount < state.sendQueue.count { try write(state.sendQueue[sentCount...], "send") }
    if state.finSent, !isFinMarkedSent { try SocketEnd.finish(number) }
    fixBuffers()
    guard let socket = socket.take() else { throw SystemCallError("socket", on: subject, errno: .badFileDescriptor) }
    return socket
  }

  /// The application's longest timeout, or the kernel's, holds again.
  public static func endHaste(_ socket: Int32, _ options: SocketOptions) {
    try? SocketOption.maximumTimeout.set(socket, options.values[.maximumTimeout] ?? usualTimeout)
  }

  /// TCP_RTO_MAX, ms.
  private static let usualTimeout: Int32 = 120_000
  /// Longest retransmission timeout while data that counts as sent may be lost, ms; otherwise the first is 3 s.
  private static let takeoverTimeout: Int32 = 1000
  /// How long a socket may have that timeout, ns: the timers of the loss probe and of the first retransmission are set by then.
  ///
  /// What a kernel bears of a silent peer goes by the longest timeout: with this one it gives a connection up after some 15 s
  /// (tcp_model_timeout), and one whose peer has no window 2 s after its first retransmission (tcp_rtx_probe0_timed_out), which comes
  /// after a second at the earliest.
  public static let longestHaste: UInt64 = 2_000_000_000

  private var isFinAcknowledged: Bool { state.finSent && state.sndUna == state.sndNxt }

  /// Our FIN goes back as sent when everything before it does.
  private var isFinMarkedSent: Bool {
    state.finSent && sentCount == state.sendQueue.count && (sentBoundary == state.sndNxt || isFinAcknowledged)
  }

  /// From ESTABLISHED to the state in which the connection was, while still in repair mode.
  ///
  /// Both FINs sent and ours not acknowledged can be CLOSING or LAST_ACK; the packets do not tell. CLOSING does what either must,
  /// and still answers a peer that repeats its FIN after it has acknowledged ours.
  private func closeHalves(_ sender: RawSender) throws(SystemCallError) {
    if isFinMarkedSent {
      // With the send queue selected it counts as sent and nothing leaves.
      try select(.send)
      try SocketEnd.finish(number)
      try select(.none)
    }
    if state.finReceived {
      try sender.send(SegmentBuilder.peerFin(for: state, acknowledgingFin: isFinAcknowledged))
      try reach { $0.hasReceivedFin || $0 == .close }
    } else if isFinAcknowledged {
      try sender.send(SegmentBuilder.peerAcknowledgement(for: state))
      try reach { $0 == .finWait2 }
    }
  }

  /// The injected segment comes through the loopback interface: as a rule at once, on a busy processor a moment later. One that the
  /// kernel did not take would leave an application waiting for an end that the peer has long said.
  private func reach(_ isReached: (TCPState) -> Bool) throws(SystemCallError) {
    for attempt in 0..<Self.attempts {
      if isReached(try TCPInfo(number).state) { return }
      if attempt >= Self.attempts / 2 { poll(nil, 0, 1) } else { sched_yield() }
    }
    throw SystemCallError("injected segment", on: subject, errno: .timedOut)
  }
  private static let attempts = 40

  /// Ends a connection here without a packet: in repair mode a close sends nothing.
  public static func abandonSilently(_ socket: Int32) throws(SystemCallError) {
    try SocketOption.repair.set(socket, Int32(HF_TCP_REPAIR_ON))
    // Other holders of the socket (the application) must lose it too.
    var address = sockaddr()
    address.sa_family = sa_family_t(AF_UNSPEC)
    try systemCall("connect(AF_UNSPEC)") {
      Glibc.connect(socket, &address, socklen_t(MemoryLayout<sockaddr>.size))
    }
  }

  private func set(_ option: SocketOption, _ value: Int32) throws(SystemCallError) {
    do {
      try option.set(number, value)
    } catch {
      throw SystemCallError(error.call, on: subject, errno: error.errno)
    }
  }

  private func select(_ queue: RepairSnapshot.Queue) throws(SystemCallError) { try set(.repairQueue, queue.rawValue) }

  /// Writes all of `bytes` in large pieces.
  private func write(_ bytes: ArraySlice<UInt8>, _ call: String) throws(SystemCallError) {
    var rest = bytes
    while !rest.isEmpty {
      let count = try systemCall(call, on: subject) {
        rest.withUnsafeBytes {
          send(number, $0.baseAddress, min($0.count, 1 << 16), Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
      }
      rest = rest.dropFirst(count)
    }
  }
}
