internal import Pairing
public import Replication
public import TCPModel

/// The active host, as the standby sees it, and what the standby holds of it.
public struct Leader {
  public private(set) var replica = Replica()
  /// Flows of ledgers that a sync replaces. They are known until it has ended.
  private var formerFlows: Set<Flow> = []
  /// What it has said of itself; nil while no session has begun.
  public private(set) var hello: Hello?
  /// The position of the stream up to which everything is folded and acknowledged.
  var acknowledged: UInt64 = 0
  /// Something has come that the active host may hold a packet, or an answer, for.
  var isAwaited = false

  /// A flow has a ledger here.
  public func knows(_ flow: Flow) -> Bool { replica.ledgers[flow] != nil || formerFlows.contains(flow) }
  public var flows: Set<Flow> { formerFlows.union(replica.ledgers.all.map(\.flow)) }

  mutating func begin() {
    hello = nil
    acknowledged = 0
    isAwaited = false
  }

  /// - Returns: whether there was a session that had begun.
  mutating func end() -> Bool {
    defer { hello = nil }
    return hello != nil
  }

  mutating func follow(_ hello: Hello) {
    self.hello = hello
    acknowledged = hello.position
  }

  mutating func takeLedgers() -> (ledgers: LedgerBook, former: Set<Flow>) {
    defer {
      formerFlows = []
      hello = nil
    }
    return (replica.takeLedgers(), formerFlows)
  }

  /// - Returns: whose flows they were.
  mutating func forget() -> Set<Flow> {
    defer {
      formerFlows = []
      hello = nil
      replica.reset()
    }
    return flows
  }

  mutating func fold(_ frame: Frame, now: UInt64) throws(ProtocolError) -> Replica.Event? {
    let event = try replica.fold(frame, now: now)
    if case .recorded(let isAwaited)? = event {
      if isAwaited { self.isAwaited = true }
    } else {
      isAwaited = true
    }
    if case .began(let former)? = event { formerFlows.formUnion(former) }
    return event
  }

  mutating func endFormer() -> Set<Flow> {
    defer { formerFlows = [] }
    return formerFlows
  }
}

extension Host {
  /// Bytes whose acknowledgement does not wait for company.
  private static let lingeringLimit: UInt64 = 1 << 16

  /// A frame from the active host.
  /// - Returns: the position that this frame begins at, when it was the first of its session: positions count from there.
  /// - Parameter now: CLOCK_MONOTONIC, ns.
  @inline(__always)
  public mutating func receive(fromSource frame: Frame, now: UInt64) throws(ProtocolError) -> UInt64? {
    guard leader.hello != nil else { return try greet(frame) }
    let event = try leader.fold(frame, now: now)
    if case .recorded? = event { return nil }
    take(event)
    return nil
  }

  private mutating func take(_ event: Replica.Event?) {
    switch event {
    case .known(let flow)?, .forgotten(let flow)?: report(.effect(.flowsChanged([flow])))
    case .synced?: report([.effect(.flowsChanged(leader.endFormer())), .react(.syncCompleted)])
    case .goodbye(let kind)?: report(.react(kind == .handover ? .handedOver : .sourceLeft))
    // Nothing is said of flows that a new sync begins with: they stay until it has ended.
    case .began?, .recorded?, nil: break
    }
  }

  private mutating func greet(_ frame: Frame) throws(ProtocolError) -> UInt64 {
    if frame.type == FrameType.refuse.rawValue {
      throw .refused(String(decoding: frame.body.prefix(1024), as: UTF8.self))
    }
    let theirs = try Hello(frame)
    guard theirs.pair == machine.configuration.pair else {
      throw .refused("it replicates pair \"\(theirs.pair)\", not \"\(machine.configuration.pair)\"")
    }
    leader.follow(theirs)
    report([
      .effect(.following(node: theirs.node, epoch: theirs.epoch)),
      .react(.following(epoch: theirs.epoch, instance: theirs.instance)),
    ])
    return theirs.position
  }

  /// Whether what has come up to a position of the stream is to be acknowledged now, and not with what comes next.
  public func mustAcknowledge(_ position: UInt64) -> Bool {
    leader.isAwaited || position - min(position, leader.acknowledged) >= Self.lingeringLimit
  }

  /// Everything up to a position of the stream is folded.
  /// - Returns: whether the active host is to hear of it.
  public mutating func acknowledge(_ position: UInt64) -> Bool {
    guard leader.hello != nil, position > leader.acknowledged else { return false }
    leader.isAwaited = false
    leader.acknowledged = position
    return true
  }
}
