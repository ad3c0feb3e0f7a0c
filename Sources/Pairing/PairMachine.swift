/// Decides what a host is for its pair. A value without clock and IO: events and the time go in, actions come out.
///
/// Two rules carry everything. A standby takes over when no path has brought a heartbeat of an active peer for `deadAfter`;
/// a broken channel is no reason. A host uses ledgers only while nothing can have left the active host unrecorded: an active
/// host that loses its standby is mute, and says that it goes on alone before it does. Where somebody is asked first
/// (`Asks`), the host does neither before the answer has come.
///
/// What a host knows in one role alone is the payload of that role in `State`. What it knows of the peer and of itself in
/// every role lies beside.
public struct PairMachine: Sendable {
  /// The pair's configuration, which lasts as long as the machine.
  public let configuration: Configuration
  /// The random number of this daemon's run. Every heartbeat carries it.
  public let instance: UInt64
  /// The highest epoch that this host was in or has heard of. Below `Epoch.limit`; it never falls.
  public internal(set) var epoch: UInt64
  /// This host's packet table is not in force: packets could pass it unrecorded. The caller sets it, the peer is told.
  public var isTableMissing = false

  /// The role, with what has a meaning in that role alone.
  var state: State
  var peer: PeerView
  var permission = Permission()
  var links = LinkView()
  var standstill = Standstill()
  /// The time of the newest event, ns.
  var now: UInt64

  /// A host that starts with nothing to continue.
  /// - Parameters:
  ///   - configuration: The pair's configuration.
  ///   - instance: The random number of this daemon's run.
  ///   - epoch: The highest epoch that this host was ever in or heard of, over all its starts. Below `Epoch.limit`.
  ///   - now: CLOCK_MONOTONIC, ns.
  public init(_ configuration: Configuration, instance: UInt64, epoch: UInt64 = 0, now: UInt64) {
    self.init(configuration, instance: instance, epoch: epoch, now: now, state: .starting(Starting(heldSince: now)))
  }

  init(_ configuration: Configuration, instance: UInt64, epoch: UInt64, now: UInt64, state: State) {
    self.configuration = configuration
    self.instance = instance
    self.epoch = epoch
    self.now = now
    self.state = state
    peer = PeerView(
      paths: configuration.paths, interval: configuration.interval, deadAfter: configuration.deadAfter, now: now)
  }

  /// Takes one event and decides what follows from it.
  /// - Parameters:
  ///   - event: What has happened. An event for another role than the present one changes nothing.
  ///   - now: CLOCK_MONOTONIC, ns. A time before that of the last event counts as that one.
  /// - Returns: The actions, in the order in which the caller carries them out.
  public mutating func handle(_ event: Event, now: UInt64) -> [Action] {
    self.now = max(self.now, now)
    let actions = noticeStandstill() + react(to: event)
    noteWhetherToMove()
    return actions
  }

  private mutating func react(to event: Event) -> [Action] {
    switch event {
    case .tick:
      let observed = peer.tick(now: now)
      return decide() + moveIfDue(observed)
    case .heartbeat(let path, let heartbeat): return hear(heartbeat, on: path)
    case .rumour(let heartbeat):
      hearRumour(heartbeat)
      return []
    case .answer(let number, let answer): return hear(answer, to: number)
    case .permissionEnded: return endPermission()
    case .promoted: return promote()
    case .links(let isReachable):
      links.isReachable = isReachable
      return []
    case .demoted, .restart, .channelUp, .syncEnding, .standbySynced, .channelDown, .standbyLeft, .switchover,
      .handOverReady, .handOverFailed:
      guard case .active(let active) = state else { return [] }
      return react(to: event, as: active)
    case .following, .syncCompleted, .sourceLost, .sourceLeft, .handedOver:
      guard case .standby(let standby) = state else { return [] }
      return react(to: event, as: standby)
    }
  }

  /// Does what is due now, if it is permitted. A host that stood still a moment ago decides nothing.
  mutating func decide() -> [Action] {
    guard !isWary else { return [] }
    switch state {
    case .starting(let starting): return decide(as: starting)
    case .standby(let standby): return decide(as: standby)
    case .active(let active): return decide(as: active)
    case .fenced(let fenced): return decide(as: fenced)
    }
  }
}
