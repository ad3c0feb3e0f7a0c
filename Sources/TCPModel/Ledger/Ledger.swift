/// What one side must hold to continue one connection: the baseline taken at registration and the fold of every packet since.
///
/// The same code folds on both hosts: the standby to be able to restore, the active host to be able to bring a new standby up
/// to date without touching the live socket. Folding is idempotent and never guesses what the kernel did: an ingress packet
/// makes candidates, the kernel's own acknowledgement on egress proves them.
public final class Ledger {
  public let identity: ConnectionIdentity
  public let flow: Flow
  public let isMapped: Bool
  public let negotiated: NegotiatedOptions
  public internal(set) var options: SocketOptions

  public private(set) var input: InputLedger
  public private(set) var output: OutputLedger
  public private(set) var window: WindowState
  /// The last TSval recorded for a packet that leaves.
  public private(set) var timestamp: TimestampClock
  /// The peer's last in-order TSval (ts_recent): what a probe echoes.
  public private(set) var peerTimestamp: UInt32
  /// One past the last sequence number that the peer was ever allowed to send: a window is never taken back.
  public private(set) var offeredEdge: SequenceNumber
  /// What the application goes on from.
  public private(set) var checkpoints: CheckpointLedger
  /// A reset went either way: there is nothing to continue.
  public private(set) var wasReset = false
  /// Urgent data was seen: its mark cannot be restored.
  public private(set) var sawUrgent = false
  /// What is still missing since a daemon's crash; nil when nothing is.
  public private(set) var gap: LedgerGap?

  /// - Parameter gap: what the image lacks; it is then of no use to another host.
  public init(_ image: LedgerImage, gap: LedgerGap? = nil) {
    self.gap = gap
    let state = image.state
    identity = image.identity
    flow = state.flow
    isMapped = state.isMapped
    negotiated = state.negotiated
    options = state.options
    window = state.window
    timestamp = state.timestamp
    peerTimestamp = image.peerTimestamp
    offeredEdge = image.offeredEdge
    wasReset = image.wasReset
    sawUrgent = image.sawUrgent
    checkpoints = image.checkpoints
    output = OutputLedger(image)
    input = InputLedger(image)
    keepInput()
  }

  /// Folds a packet that came from the peer. It may be forged, late, or refused by the kernel.
  /// - Parameter payload: the segment's bytes. A packet with a bad checksum must not come here.
  func foldIngress(_ header: SegmentHeader, _ payload: UnsafeRawBufferPointer) {
    guard !header.flags.contains(.syn) else { return }
    let fin = header.flags.contains(.fin)
    let end = header.sequence + payload.count + (fin ? 1 : 0)
    // The kernel's own test for a segment in the window (tcp_sequence); what fails it is answered, not processed.
    guard !end.isBefore(input.rcvNxt), !header.sequence.isAfter(offeredEdge) else { return }
    if header.flags.contains(.rst) {
      // RFC 5961 section 3.2: only the exact next sequence number resets; the kernel may be ahead of the last proof.
      if !header.sequence.isBefore(input.rcvNxt), !header.sequence.isAfter(input.contiguousSeq) { wasReset = true }
      return
    }
    guard header.flags.contains(.ack) else { return }
    let formerUna = output.sndUna
    // Older than anything that the peer can still mean (tcp_ack, RFC 5961 section 5.2): the kernel drops such a segment whole.
    guard header.acknowledgement.distance(from: formerUna) >= -Int(window.maximumWindow) else { return }
    guard output.acknowledge(header.acknowledgement) else { return }
    if header.flags.contains(.urg) { sawUrgent = true }
    updateSendWindow(header, formerUna: formerUna)
    if header.hasTimestamp, !header.sequence.isAfter(input.rcvNxt) { peerTimestamp = header.timestampValue }
    if gap != nil { narrowGap { $0.acknowledge(header.acknowledgement) } }
    if payload.count > 0 || fin { input.take(payload, at: header.sequence, fin: fin, limit: offeredEdge + Self.slack) }
  }

  /// Folds a packet that is about to leave. It comes from the host's own kernel, so what it says is so.
  /// - Parameter now: nanoseconds on this host's CLOCK_MONOTONIC.
  func foldEgress(_ header: SegmentHeader, _ payload: UnsafeRawBufferPointer, now: UInt64) {
    if header.flags.contains(.rst) {
      wasReset = true
      return
    }
    guard !header.flags.contains(.syn) else { return }
    output.append(payload, at: header.sequence, fin: header.flags.contains(.fin))
    if header.flags.contains(.urg) { sawUrgent = true }
    if header.hasTimestamp { timestamp.advance(to: header.timestampValue, at: now) }
    guard header.flags.contains(.ack) else { return }
    guard input.prove(header.acknowledgement) else { return }
    if !checkpoints.pending.isEmpty { coverCheckpoints() }
    guard !header.acknowledgement.isBefore(window.receiveWindowUpdate) else { return }
    if let gap, gap.needsEgress {
      // Until now the largest window that there is was taken to be offered.
      offeredEdge = header.acknowledgement
      narrowGap { $0.leave() }
    }
    window.receiveWindowUpdate = header.acknowledgement
    window.receiveWindow = UInt32(header.window) << UInt32(negotiated.receiveWindowScale)
    offeredEdge = .latest(offeredEdge, header.acknowledgement + Int(window.receiveWindow))
  }

  /// The application has consumed everything below `sequence`.
  func consume(upTo sequence: SequenceNumber) { input.consume(upTo: sequence) }

  /// The application says that it has consumed input up to a stream offset.
  func confirm(_ offset: Int64) {
    input.consume(upToOffset: offset)
    if gap != nil { narrowGap { $0.confirm(offset) } }
  }

  /// The application's state, valid at the offsets that it names.
  func checkpoint(_ checkpoint: Checkpoint) {
    if gap != nil {
      var isOfUse = true
      narrowGap { isOfUse = $0.take(checkpoint) }
      guard isOfUse else { return }
    }
    checkpoints.append(checkpoint)
    keepInput()
    coverCheckpoints()
  }

  /// The socket has taken the input below `rcvNxt`, and may have told the peer so, and offered as much as can be offered.
  func take(received rcvNxt: SequenceNumber) {
    input.prove(rcvNxt)
    offeredEdge = .latest(offeredEdge, rcvNxt + negotiated.largestReceiveWindow)
  }

  @inline(never)
  private func narrowGap(_ change: (inout LedgerGap) -> Void) {
    guard var narrower = gap else { return }
    change(&narrower)
    gap = narrower.isClosed ? nil : narrower
  }

  private func coverCheckpoints() {
    guard checkpoints.cover(received: input.received, sent: output.sent) else { return }
    if let consumed = checkpoints.covered?.consumed { input.consume(upToOffset: consumed) }
    keepInput()
  }

  /// A state is of use only together with the input that comes after it.
  private func keepInput() { input.retain(from: checkpoints.neededFrom) }

  /// Another host, or another process, goes on with the connection: what the former one did beyond what has left counts no more.
  public func continueElsewhere() {
    checkpoints.forgetPending()
    input.forgetUnprovenConsumption()
    keepInput()
  }

  /// The header of a packet that would bring input which no packet brought, and which was read from the socket. It tells nothing new
  /// of what the peer has and offers: above all it is no answer of the peer to output of which a gap does not know whether it has
  /// arrived.
  public func headerOfUnseenInput(at start: SequenceNumber, isEnded: Bool) -> SegmentHeader {
    SegmentHeader(
      sequence: start, acknowledgement: gap?.needsIngress == true ? output.sndUna - 1 : output.sndUna,
      window: UInt16(clamping: window.sendWindow >> UInt32(negotiated.sendWindowScale)),
      flags: isEnded ? [.ack, .fin] : .ack)
  }

  /// Most input that is kept for an application that does not consume it, bytes.
  public static let retentionLimit = 16 << 20

  /// Whether a segment brings more input than is kept: for an application that does not consume it (`retentionLimit`), or behind more
  /// holes than are kept count of (`Islands.limit`). It is then lost, as it would be at a receiver without room, and the peer sends it
  /// again. A segment that is in order, or touches what is held, brings no new hole.
  ///
  /// Who gives packets to a socket asks before, and drops what has no room: a socket must not take what no ledger has.
  @inline(__always)
  public func hasNoRoom(for header: SegmentHeader, _ payload: UnsafeRawBufferPointer) -> Bool {
    guard payload.count > 0 else { return false }
    if identity.retention == .confirm || input.retainedFrom != nil,
      (header.sequence + payload.count).distance(from: input.copiedSeq) > Self.retentionLimit
    {
      return true
    }
    return input.islands.isFull && hasNoIsland(for: header, payload)
  }

  /// What does not become input (`foldIngress`) is left to the kernel, which answers it. So is what comes for a connection whose
  /// ledger has lost track of its input: what is a hole for such a ledger need not be one for the socket.
  @inline(never)
  private func hasNoIsland(for header: SegmentHeader, _ payload: UnsafeRawBufferPointer) -> Bool {
    guard header.flags.isDisjoint(with: [.rst, .syn]), !header.sequence.isAfter(offeredEdge), !input.isBroken else {
      return false
    }
    return input.hasNoIsland(for: payload.count, at: header.sequence, limit: offeredEdge + Self.slack)
  }

  /// tcp_may_update_window and tcp_ack_update_window; since Linux 6.6 a window may also close where it stands.
  private func updateSendWindow(_ header: SegmentHeader, formerUna: SequenceNumber) {
    let offered = UInt32(header.window) << UInt32(negotiated.sendWindowScale)
    guard
      header.acknowledgement.isAfter(formerUna) || header.sequence.isAfter(window.sendWindowUpdate)
        || (header.sequence == window.sendWindowUpdate && (offered > window.sendWindow || offered == 0))
    else { return }
    guard !header.acknowledgement.isBefore(formerUna) else { return }
    window.sendWindowUpdate = header.sequence
    window.sendWindow = offered
    window.maximumWindow = max(window.maximumWindow, offered)
  }

  /// A segment may begin inside the window and reach beyond it by what one packet carries.
  private static let slack = 1 << 16
}
