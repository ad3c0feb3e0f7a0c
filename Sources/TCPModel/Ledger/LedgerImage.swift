/// Which connection a ledger is about; constant, and the same on both hosts.
public struct ConnectionIdentity: Hashable, Sendable {
  /// When input counts as consumed (design of the application contract).
  public enum Retention: UInt8, Sendable {
    /// When the application reads it.
    case read = 0
    /// When the application says so.
    case confirm = 1
  }

  /// Unique over failovers and pairs; how it is made is the active host's affair.
  public var id: UInt64
  public var service: String
  /// What the application gave to find its own state again.
  public var key: String?
  public var retention: Retention

  public init(id: UInt64, service: String, key: String?, retention: Retention) {
    self.id = id
    self.service = service
    self.key = key
    self.retention = retention
  }
}

/// A ledger as a value: the baseline at registration, and what brings a new standby up to date.
public struct LedgerImage: Hashable, Sendable {
  /// Input that reached the host and that no acknowledgement covers yet.
  public struct Candidate: Hashable, Sendable {
    public var sequence: SequenceNumber
    public var bytes: [UInt8]
    /// The peer's FIN follows the last byte.
    public var fin: Bool

    public init(sequence: SequenceNumber, bytes: [UInt8], fin: Bool) {
      self.sequence = sequence
      self.bytes = bytes
      self.fin = fin
    }
  }

  public var identity: ConnectionIdentity
  public var state: ConnectionState
  /// Stream offset of `state.copiedSeq`.
  public var consumed: Int64
  /// Stream offset one past the last byte of `state.sendQueue`.
  public var sent: Int64
  public var peerTimestamp: UInt32
  public var offeredEdge: SequenceNumber
  public var candidates: [Candidate]
  /// How far the application is known to have read; may be ahead of what the peer was told.
  public var reportedConsumed: SequenceNumber
  public var wasReset: Bool
  public var sawUrgent: Bool
  /// A packet passed that was not recorded.
  public var isBroken: Bool
  public var checkpoints: CheckpointLedger

  /// The baseline of a connection at registration. Offsets count from here: everything that the application has not read is
  /// still to be received, everything that it has written is sent.
  /// - Parameter unsent: bytes that the application wrote before the registration and that have not left yet.
  public init(registering state: ConnectionState, as identity: ConnectionIdentity, unsent: Int) {
    self.init(
      identity: identity, state: state, consumed: 0, sent: -Int64(unsent), peerTimestamp: 0,
      offeredEdge: state.window.receiveWindowUpdate + Int(state.window.receiveWindow), candidates: [],
      reportedConsumed: state.copiedSeq, wasReset: false, sawUrgent: false, isBroken: false)
  }

  public init(
    identity: ConnectionIdentity, state: ConnectionState, consumed: Int64, sent: Int64, peerTimestamp: UInt32,
    offeredEdge: SequenceNumber, candidates: [Candidate], reportedConsumed: SequenceNumber, wasReset: Bool,
    sawUrgent: Bool, isBroken: Bool, checkpoints: CheckpointLedger = CheckpointLedger()
  ) {
    self.identity = identity
    self.state = state
    self.consumed = consumed
    self.sent = sent
    self.peerTimestamp = peerTimestamp
    self.offeredEdge = offeredEdge
    self.candidates = candidates
    self.reportedConsumed = reportedConsumed
    self.wasReset = wasReset
    self.sawUrgent = sawUrgent
    self.isBroken = isBroken
    self.checkpoints = checkpoints
  }
}

extension Ledger {
  /// The repair state as it stands: what a socket is restored from.
  public var state: ConnectionState {
    ConnectionState(
      flow: flow, isMapped: isMapped, negotiated: negotiated, sndUna: output.sndUna, sndNxt: output.sndNxt,
      sendQueue: output.queue.bytes(0..<output.queue.count), finSent: output.finSent, copiedSeq: input.copiedSeq,
      rcvNxt: input.rcvNxt, receiveQueue: input.queue.bytes(0..<input.unconsumedCount),
      finReceived: input.finReceived, window: window, timestamp: timestamp, options: options)
  }

  /// Everything, candidates included.
  public var image: LedgerImage {
    LedgerImage(
      identity: identity, state: state, consumed: input.consumed, sent: output.sent, peerTimestamp: peerTimestamp,
      offeredEdge: offeredEdge, candidates: input.candidates, reportedConsumed: input.reportedConsumed,
      wasReset: wasReset, sawUrgent: sawUrgent, isBroken: input.isBroken || output.isBroken, checkpoints: checkpoints)
  }

  /// Why this connection could not be continued now; `nil` when it could.
  public var obstacle: String? {
    if wasReset { return "the connection was reset" }
    if let gap { return gap.reason }
    if input.isBroken || output.isBroken {
      return "packets passed that were not recorded"
    }
    if sawUrgent { return "urgent data (MSG_OOB) was used, which cannot be restored" }
    if output.sent < 0 { return "output from before the registration has not left yet" }
    return nil
  }
}

extension InputLedger {
  /// Filled ranges above the proven input, and a FIN that is not covered.
  var candidates: [LedgerImage.Candidate] {
    var ranges = islands.all
    if contiguousEnd > unconsumedCount { ranges.insert(unconsumedCount..<contiguousEnd, at: 0) }
    let result = ranges.map { range in
      LedgerImage.Candidate(sequence: copiedSeq + range.lowerBound, bytes: queue.bytes(range), fin: false)
    }
    return result + finCandidates.map { LedgerImage.Candidate(sequence: $0, bytes: [], fin: true) }
  }
}
