public import TCPModel

/// The active host's end of replication: turns what happens into records, and acknowledgements into packets that may leave.
///
/// Positions of the stream count for the life of the daemon, over all sessions. That makes a lost standby simple: packets that
/// were waiting for it go on waiting, for the same positions, and the next standby's acknowledgements count from the end of its
/// sync on: then it holds everything that was ever recorded.
public struct ReplicationSource: ~Copyable {
  public enum Phase: Sendable {
    /// No standby. Records go into the ledgers alone.
    case detached
    /// A standby is being brought up to date while traffic flows.
    case syncing
    /// The standby holds everything below the last acknowledgement.
    case synced
  }

  public private(set) var phase = Phase.detached
  public var outgoing = OutgoingStream()
  public var gate: EgressGate
  /// Everything below this position has been acknowledged in this session.
  public private(set) var acknowledged: UInt64 = 0

  /// Connections whose baseline is still to be sent in this session, last first.
  private var pending: [UInt64] = []
  private var isPending: Set<UInt64> = []
  /// Where this session's sync ends; acknowledgements below it commit nothing.
  private var syncEnd: UInt64?

  public init(gateIsOpen: Bool) { gate = EgressGate(isOpen: gateIsOpen) }

  /// Bytes of the stream that the standby has not acknowledged.
  public var lag: UInt64 { phase == .detached ? 0 : outgoing.position - acknowledged }

  /// The standby is slower than the traffic: stop taking packets in until it has caught up. Bounds the memory of the stream.
  public var isCongested: Bool { outgoing.unsentCount > Self.unsentLimit || lag > Self.lagLimit }
  private static let unsentLimit = 8 << 20
  private static let lagLimit: UInt64 = 64 << 20
  /// How much of a sync is produced ahead of the transport.
  private static let syncAhead = 1 << 20

  /// A standby has connected: everything is sent to it.
  /// - Parameter hello: its position is filled in here.
  public mutating func attach(_ hello: Hello, connections: some Sequence<UInt64>) {
    outgoing.discard()
    phase = .syncing
    syncEnd = nil
    var hello = hello
    hello.position = outgoing.position + UInt64(Frame.headerCount + hello.encoded.count)
    outgoing.append(.hello, body: hello.encoded)
    acknowledged = outgoing.position
    outgoing.append(.syncBegin)
    pending = Array(connections)
    isPending = Set(pending)
  }

  /// The standby is gone. Packets that wait go on waiting.
  public mutating func detach() {
    phase = .detached
    pending = []
    isPending = []
    outgoing.discard()
  }

  /// Goes on with the sync as far as the transport keeps up.
  ///
  /// The gate is shut before the sync's end is written: from the moment that the standby reads it, it may take over, and what
  /// left unrecorded then would be missing.
  /// - Parameter now: CLOCK_MONOTONIC, ns.
  /// - Returns: true when this call wrote the sync's end.
  public mutating func pump(_ ledgers: borrowing LedgerBook, now: UInt64) -> Bool {
    guard phase == .syncing, syncEnd == nil else { return false }
    while outgoing.unsentCount < Self.syncAhead, let connection = pending.popLast() {
      // Not pending: released since, or sent when its ledger changed.
      guard isPending.remove(connection) != nil, let ledger = ledgers[connection] else { continue }
      append(ledger, now: now)
    }
    guard pending.isEmpty else { return false }
    gate.close()
    outgoing.append(.syncEnd)
    syncEnd = outgoing.position
    return true
  }

  /// A connection is protected from here on.
  /// - Returns: the position at which the standby holds its baseline.
  public mutating func register(_ ledger: Ledger, now: UInt64) -> UInt64 {
    if phase != .detached {
      isPending.remove(ledger.identity.id)
      append(ledger, now: now)
    }
    return outgoing.position
  }

  private mutating func append(_ ledger: Ledger, now: UInt64) {
    let baseline = ledger.image.encoded(now: now)
    var rest = baseline[...]
    while rest.count > Frame.baselineShare {
      outgoing.append(.baselinePart, connection: ledger.identity.id, body: rest.prefix(Frame.baselineShare))
      rest = rest.dropFirst(Frame.baselineShare)
    }
    outgoing.append(.baseline, connection: ledger.identity.id, body: rest)
  }

  public mutating func release(_ connection: UInt64) {
    guard phase != .detached else { return }
    isPending.remove(connection)
    outgoing.append(.release, connection: connection)
  }

  /// Whether a record of this connection would reach a standby that knows it.
  @inline(__always)
  private func follows(_ connection: UInt64) -> Bool {
    switch phase {
    case .synced: true
    case .syncing: syncEnd != nil || !isPending.contains(connection)
    case .detached: false
    }
  }

  /// Records what has happened to a connection: in its ledger, and in the stream where a standby follows. This is the only way into
  /// a ledger that is replicated, so that both hosts' ledgers are equal.
  ///
  /// What leaves after a record waits for a later position of the stream (`hold`): it never leaves without the standby having the
  /// record.
  /// - Parameter lending: a packet's payload stays where it is until `outgoing.settle` has been called.
  @inline(__always)
  public mutating func record(_ record: Record, in ledger: Ledger, lending: Bool = false) {
    ledger.apply(record)
    if follows(ledger.identity.id) { outgoing.append(record, of: ledger.identity.id, lending: lending) }
  }

  /// Lets a packet wait that wants to leave, until the standby holds everything that is recorded by now.
  /// - Parameter packet: the kernel's number for it in the egress queue.
  @inline(__always)
  public mutating func hold(_ packet: UInt32) {
    // Without a standby nobody has it, even if everything before was acknowledged.
    gate.hold(packet, until: phase == .detached ? outgoing.position + 1 : outgoing.position)
  }

  /// A frame from the standby.
  /// - Returns: true when this acknowledgement completes the sync.
  public mutating func receive(_ frame: Frame) throws(ProtocolError) -> Bool {
    if frame.type == FrameType.refuse.rawValue {
      throw .refused(String(decoding: frame.body.prefix(1024), as: UTF8.self))
    }
    guard frame.type == FrameType.acknowledge.rawValue else {
      // A type that is known has no business here; an unknown one is a newer minor version's.
      if let known = FrameType(rawValue: frame.type) { throw .unexpected(known) }
      return false
    }
    guard frame.body.count >= 8 else { throw .malformed(.acknowledge) }
    let position = frame.body.bigEndian64(0)
    guard position <= outgoing.position else { throw .acknowledgementBeyondEnd }
    acknowledged = max(acknowledged, position)
    guard let syncEnd, acknowledged >= syncEnd else { return false }
    gate.commit(acknowledged)
    guard phase == .syncing else { return false }
    phase = .synced
    return true
  }
}
