/// Decides what a host is for its pair. A value without clock and IO: events and the time go in, actions come out.
///
/// Two rules carry everything. The standby goes on in the active host's place when no path brings a heartbeat of an active peer
/// for `deadAfter`; that the channel broke says nothing. And ledgers are used only while nothing can have left the active host
/// unrecorded: an active host that loses its standby is mute, and says that it goes on alone before it does. Where somebody is to
/// be asked first (`Asks`), nothing of either happens before the answer.
public struct PairMachine: Sendable {
  public struct Configuration: Hashable, Sendable {
    public var node: String
    public var pair: String
    public var prefersActive: Bool
    public var paths: Int
    /// ns between heartbeats.
    public var interval: UInt64
    /// ns of silence after which the peer counts as dead.
    public var deadAfter: UInt64
    /// ns that the gate stays shut after the standby is lost.
    public var exposeAfter: UInt64
    /// Whether it opens then at all.
    public var mayExpose: Bool
    /// For how long the standby is asked to wait while this host's daemon starts anew, ns: whole seconds, at most 255.
    public var restartPatience: UInt64
    /// Who is asked before this host acts alone.
    public var asks: Asks
    /// Whether the arbiter knows who was active in which epoch; a cluster manager does not.
    public var arbiterKnowsEpochs: Bool
    /// Whether the pair moves when clients can reach the other host alone.
    public var tracksLinks: Bool
    /// For how long that must be so, ns.
    public var linkDownAfter: UInt64

    public init(
      node: String, pair: String, prefersActive: Bool, paths: Int, interval: UInt64, deadAfter: UInt64,
      exposeAfter: UInt64, mayExpose: Bool, restartPatience: UInt64 = 10_000_000_000, asks: Asks = .nobody,
      arbiterKnowsEpochs: Bool = true, tracksLinks: Bool = true, linkDownAfter: UInt64 = 500_000_000
    ) {
      self.node = node
      self.pair = pair
      self.prefersActive = prefersActive
      self.paths = paths
      self.interval = interval
      self.deadAfter = deadAfter
      self.exposeAfter = exposeAfter
      self.mayExpose = mayExpose
      self.restartPatience = restartPatience
      self.asks = asks
      self.arbiterKnowsEpochs = arbiterKnowsEpochs
      self.tracksLinks = tracksLinks
      self.linkDownAfter = linkDownAfter
    }

    /// How long a host listens at its start before it claims anything, ns: longer than a takeover takes, and twice as long where
    /// the other one is to be active.
    var startHold: UInt64 { max(1_000_000_000, 5 * deadAfter) * (prefersActive ? 1 : 2) }

    /// For how long a host says that it goes on alone before it does, ns: two heartbeats in a row may be lost.
    var announcing: UInt64 { 3 * interval }
    /// How long a standby may be silent before the host says that it goes on alone, ns.
    public var patience: UInt64 { max(2 * interval, exposeAfter - min(exposeAfter, announcing)) }
  }

  public let configuration: Configuration
  public let instance: UInt64
  public internal(set) var role = Role.starting
  public internal(set) var epoch: UInt64
  public internal(set) var replication = ReplicationPhase.waiting
  /// Active: the sockets stand still, and the standby is about to go on in this host's place.
  public internal(set) var isHandingOver = false
  /// Fenced: when this host has handed over, ns; the other one need not be heard at once.
  var handedOver: UInt64?

  /// Active: the daemon is about to end and to start again.
  var isRestarting = false
  /// Active: this daemon goes on where its predecessor ended, and does not know yet whether the standby has waited for it.
  public internal(set) var isResumed = false
  /// Meaningful while `isResumed`.
  var behind = Behind.patientStandby

  var peer: PeerView
  /// Starting: since when nobody was heard who may be active, ns.
  var heldSince: UInt64
  /// Active: when the standby was lost, ns. Meaningful while `replication` is `.waiting`.
  var waitingSince: UInt64
  /// Active and waiting: the standby said that it stops, so nobody need wait for it.
  var standbyHasLeft = false
  /// Active and mute: it has begun with nothing because the other host was there and agreed, and no standby was synced yet.
  var isProvisional = false
  /// Standby: the active host has let go in this host's favour.
  var isHeir = false
  var permission = Permission()
  /// Standby: when the arbiter was last asked, the other host held an epoch that this one has not heard of, used or not.
  var isOutbid = false
  /// Active and exposed: when the gate opens, ns; nil once it has.
  var opensAt: UInt64?
  /// Active: the sync has ended on the stream, so a standby may count itself synced.
  var isSyncEnding = false
  var replica = ReplicaView()
  var links = LinkView()
  /// This host's packet table is not in force; the peer is told.
  public var isTableMissing = false
  var now: UInt64
  /// When the last event was, ns; nil before the first one.
  var lastEvent: UInt64?
  /// Until when this host decides nothing, ns: it stood still.
  var waryUntil: UInt64 = 0
  /// Until when what the other host says may be from before a standstill, however short, ns.
  var hearsLateUntil: UInt64 = 0

  /// - Parameter epoch: the highest that this host was ever in or heard of, over all its starts.
  public init(_ configuration: Configuration, instance: UInt64, epoch: UInt64 = 0, now: UInt64) {
    self.configuration = configuration
    self.instance = instance
    self.epoch = epoch
    self.now = now
    heldSince = now
    waitingSince = now
    peer = PeerView(
      paths: configuration.paths, interval: configuration.interval, deadAfter: configuration.deadAfter, now: now)
  }

  /// - Parameter now: CLOCK_MONOTONIC, ns; never earlier than before.
  /// - Returns: what is to be done, in order.
  public mutating func handle(_ event: Event, now: UInt64) -> [Action] {
    self.now = max(self.now, now)
    let actions = noticeStandstill() + react(to: event)
    noteWhetherToMove()
    return actions
  }

  private mutating func react(to event: Event) -> [Action] {
    switch event {
    case .tick: return tick()
    case .heartbeat(let path, let heartbeat): return hear(heartbeat, on: path)
    case .rumour(let heartbeat):
      // A peer that is active and cannot hear this host must not get a second one beside it. Nothing else follows from hearsay.
      if role == .starting, heartbeat.role == .active {
        heldSince = self.now
        permission.void()
      }
      return []
    case .answer(let number, let answer): return hear(answer, to: number)
    case .permissionEnded: return endPermission()
    case .promoted: return promote()
    case .links(let isReachable):
      links.isReachable = isReachable
      return []
    case .demoted: return role == .active ? fence("the cluster manager has demoted this host") : []
    case .channelUp, .syncEnding, .standbySynced, .channelDown, .standbyLeft:
      return role == .active ? follower(event) : []
    case .restart: return restart()
    case .switchover, .handOverReady, .handOverFailed: return role == .active ? handOver(event) : []
    case .following, .syncCompleted, .sourceLost, .sourceLeft, .handedOver: return role == .standby ? source(event) : []
    }
  }

  /// What this host tells the peer.
  public func heartbeat(sequence: UInt64) -> Heartbeat {
    var heartbeat = Heartbeat(
      role: role, replication: replication, prefersActive: configuration.prefersActive, epoch: epoch,
      sequence: sequence,
      instance: instance, node: configuration.node, pair: configuration.pair)
    heartbeat.isUnreachable = !links.isReachable
    heartbeat.isTableMissing = isTableMissing
    if isRestarting { heartbeat.patience = UInt8(clamping: configuration.restartPatience / 1_000_000_000) }
    return heartbeat
  }

  /// When path number `path` last brought something, ns on this host's clock; nil for never.
  public func lastHeard(path: Int) -> UInt64? { peer.lastHeard.indices.contains(path) ? peer.lastHeard[path] : nil }
  public func isAlive(path: Int, now: UInt64) -> Bool { peer.isAlive(path: path, now: now) }
  /// Active, with the gate shut: until when what the standby acknowledges may let packets go, ns. Where it has not been heard for
  /// `deadAfter` it may have gone on in this host's place, and an acknowledgement may be from before that: what it would let go says
  /// nothing that the other one does not know, but reaches the peers behind what that one says, with timestamps that go back.
  public var trustsAcknowledgementsUntil: UInt64 { peer.heardUntil ?? 0 }
  /// The ledgers on this standby are what the active host's peers saw.
  public var areLedgersCurrent: Bool { replica.isComplete && !isOutbid }

  // MARK: Time

  private mutating func tick() -> [Action] {
    let observed = peer.tick(now: now)
    return decide() + moveIfDue(observed)
  }

  /// What is due now, if it is permitted.
  mutating func decide() -> [Action] {
    guard !isWary else { return [] }
    switch role {
    case .starting:
      if let reason = reasonToBegin { return permission(for: .begin) ?? becomeActive(reason) }
      // Who must not act alone waits for the other one, however long.
      guard configuration.mayExpose, now - heldSince >= configuration.startHold else { return [] }
      return permission(for: .begin)
        ?? becomeActive("no active peer was heard for \(configuration.startHold / 1_000_000) ms")
    case .standby:
      if isHeir { return (configuration.asks == .arbiter ? permission(for: .takeOver) : nil) ?? takeOver(.handover) }
      guard peer.activeSilence >= peer.tolerance else {
        let isDying = peer.activeSilence + configuration.asks.lead >= peer.tolerance
        return isDying && (configuration.mayExpose || replica.isComplete) ? ask(.takeOver) : []
      }
      // An active host whose standby is not synced may be heard by its peers. One that is, is mute.
      guard configuration.mayExpose || replica.isComplete else {
        return startOver("the active host is silent, and this one was not synced")
      }
      return permission(for: .takeOver) ?? takeOver(.peerSilent)
    case .fenced:
      guard peer.activeSilence >= peer.tolerance, now >= (handedOver ?? 0) + configuration.startHold else {
        return []
      }
      let reason =
        handedOver == nil
        ? "the host that fenced this one is silent" : "the host that this one handed over to is silent"
      return configuration.mayExpose ? permission(for: .begin) ?? becomeActive(reason) : startOver(reason)
    case .active: return tickActive()
    }
  }

  private mutating func tickActive() -> [Action] {
    switch replication {
    case .exposed:
      guard let opensAt, now >= opensAt else { return [] }
      self.opensAt = nil
      return [.openGate]
    case .waiting:
      // The other one may have gone on without this host, and clients that come here find a host that is mute.
      if isProvisional, peer.silence >= peer.tolerance {
        return fence("the host that agreed to this one's being active is silent")
      }
      return exposeIfDue()
    case .syncing, .synced:
      // Not a word over any path, and the gate may be shut: do not wait for the transport to notice.
      let limit = max(configuration.patience, configuration.deadAfter)
      guard configuration.mayExpose, peer.silence + configuration.asks.lead >= limit else { return [] }
      guard peer.silence >= limit else { return speaksAlone ? [] : ask(.goAlone) }
      let wasSyncing = replication == .syncing && !isSyncEnding
      waitingSince = now - min(now, peer.silence)
      replication = wasSyncing ? .exposed : .waiting
      return cancelHandOver() + [.detachStandby("the standby is silent on every path")] + exposeIfDue()
    }
  }

  /// Going on without a standby is a new epoch: whatever a standby holds is of the past from the moment that the gate opens.
  /// It is said before, so that a standby which takes over afterwards has heard it.
  mutating func exposeIfDue() -> [Action] {
    if mayHaveSuccessor, replication == .waiting, configuration.asks != .arbiter || !configuration.arbiterKnowsEpochs {
      return giveUpIfDue()
    }
    let patience = standbyHasLeft ? 0 : configuration.patience
    guard !isWary, replication == .waiting, configuration.mayExpose,
      now - waitingSince + configuration.asks.lead >= patience
    else {
      return []
    }
    guard now - waitingSince >= patience else { return ask(.goAlone) }
    if let actions = permission(for: .goAlone) { return actions }
    raiseEpoch(for: .goAlone)
    replication = .exposed
    isResumed = false
    isProvisional = false
    guard !standbyHasLeft else { return [.setReplication(.exposed), .sendHeartbeat, .openGate] }
    opensAt = max(waitingSince + configuration.exposeAfter, now + configuration.announcing)
    return [.setReplication(.exposed), .sendHeartbeat]
  }

  // MARK: Heartbeats

  private mutating func hear(_ heartbeat: Heartbeat, on path: Int) -> [Action] {
    guard heartbeat.pair == configuration.pair, heartbeat.node != configuration.node else { return [] }
    let wasAlive = peer.isAlive(path: path, now: now)
    let isNews = peer.hear(heartbeat, on: path, now: now)
    // A host that is heard again is not dead: whatever the answer is, it is to another question.
    if isNews, heartbeat.role == .active { permission.void(except: .goAlone) }
    // What comes late, behind a newer one over another path, says nothing of this one.
    let notes: [Action] = !wasAlive && peer.isAlive(path: path, now: now) ? [.note(.pathAlive(path))] : []
    return isNews ? notes + react(to: heartbeat) : notes
  }

  private mutating func react(to heartbeat: Heartbeat) -> [Action] {
    noticePredecessorsStandby(heartbeat)
    switch (role, heartbeat.role) {
    case (.starting, .active) where heartbeat.epoch < epoch, (.fenced, .active) where heartbeat.epoch < epoch:
      // This host was active after that one: what it has is of the past, and it will see that when it hears of it.
      return [.sendHeartbeat]
    case (.starting, .active): return becomeStandby("\(heartbeat.node) is active", following: heartbeat.epoch)
    case (.starting, .starting):
      // Both begin: the one that is to be active need not wait. When the configuration does not tell them apart, names do.
      guard isPreferred(to: heartbeat), !isWary else { return [] }
      // They agree, so only the arbiter that knows of each epoch is asked.
      return (configuration.asks == .arbiter ? permission(for: .begin) : nil)
        ?? becomeActive("both hosts start, and this one is to be active")
    case (.active, .active):
      guard heartbeat.epoch > epoch || (heartbeat.epoch == epoch && heartbeat.node < configuration.node) else {
        return [.note(.conflict(node: heartbeat.node, epoch: heartbeat.epoch)), .sendHeartbeat]
      }
      return fence("\(heartbeat.node) is active in epoch \(heartbeat.epoch), this host in \(epoch)")
    case (.active, _) where heartbeat.epoch > epoch:
      // It was active in this host's place and is not any more.
      guard configuration.mayExpose, !isResumed, configuration.asks != .arbiter else {
        return fence("\(heartbeat.node) has been in epoch \(heartbeat.epoch), this host is in \(epoch)")
      }
      epoch = Epoch.after(heartbeat.epoch)
      return [.sendHeartbeat]
    case (.fenced, .active): return becomeStandby("\(heartbeat.node) is active", following: heartbeat.epoch)
    case (.standby, .active):
      replica.hear(heartbeat)
      isOutbid = false
      if !replica.isComplete { isHeir = false }
      epoch = max(epoch, heartbeat.epoch)
      return replica.endSession(after: heartbeat) ? [.leaveSource("\(heartbeat.node) has started anew")] : []
    case (.standby, _):
      // It may have gone on alone until it died, and nobody heard so.
      replica.learn(of: heartbeat.epoch)
      return []
    case (.starting, _), (.active, _), (.fenced, _): return []
    }
  }

  // MARK: The standby, seen from the active host

  private mutating func follower(_ event: Event) -> [Action] {
    switch event {
    case .channelUp:
      standbyHasLeft = false
      permission.void()
      behind = .patientStandby
      isSyncEnding = replication != .exposed || opensAt != nil
      opensAt = nil
      replication = .syncing
      return [.setReplication(.syncing)]
    case .syncEnding:
      isSyncEnding = true
      return [.holdGate]
    case .standbySynced:
      replication = .synced
      isResumed = false
      isProvisional = false
      return [.holdGate, .setReplication(.synced)]
    case .channelDown(let silence):
      guard replication == .syncing || replication == .synced else { return [] }
      guard replication == .synced || isSyncEnding else {
        // The gate has been open all along: no standby counts itself synced.
        replication = .exposed
        return [.setReplication(.exposed)]
      }
      replication = .waiting
      waitingSince = now - min(now, silence)
      return cancelHandOver() + [.setReplication(.waiting), .sendHeartbeat] + exposeIfDue()
    case .standbyLeft:
      // It said so: it will not take over, and nobody need wait.
      guard configuration.mayExpose else { return cancelHandOver() }
      if configuration.asks == .arbiter { return leftBehind() }
      epoch = Epoch.after(epoch)
      replication = .exposed
      isResumed = false
      return cancelHandOver() + [.setReplication(.exposed), .sendHeartbeat, .openGate]
    default: return []
    }
  }

  // MARK: Handing over

  /// The standby goes on in this host's place while both live. Until it holds everything, what the sockets have not sent
  /// included, this host can still go on itself; from then on it cannot, whatever becomes of the standby.
  private mutating func handOver(_ event: Event) -> [Action] {
    switch event {
    case .switchover where replication == .synced && !isHandingOver && mayHandOver:
      isHandingOver = true
      return [.prepareHandOver]
    case .handOverReady where isHandingOver:
      isHandingOver = false
      permission.void()
      role = .fenced
      replication = .waiting
      handedOver = now
      return [.handOver, .sendHeartbeat]
    case .handOverFailed: return cancelHandOver()
    default: return []
    }
  }

  mutating func cancelHandOver() -> [Action] {
    guard isHandingOver else { return [] }
    isHandingOver = false
    links.movesAgainAt = now + LinkView.pause
    return [.cancelHandOver]
  }

  // MARK: The active host, seen from the standby

  private mutating func source(_ event: Event) -> [Action] {
    switch event {
    case .following(let epoch, let instance):
      // A takeover must be later than this, even if no heartbeat has said so.
      replica.begin(epoch: epoch, instance: instance, isPast: epoch < self.epoch)
      self.epoch = max(self.epoch, epoch)
    case .syncCompleted: replica.complete()
    case .sourceLeft: replica.discard()
    case .sourceLost: replica.endSession()
    case .handedOver:
      // It has gone on since: heartbeats overtake the stream.
      guard replica.isComplete else { return [] }
      // The word of the active host is permission enough, but not where the arbiter is to know of each epoch.
      guard configuration.asks == .arbiter || isWary else { return takeOver(.handover) }
      isHeir = true
      return decide()
    // That the channel broke says nothing: the active host is mute until it says that it goes on alone.
    default: break
    }
    return []
  }

  // MARK: Roles

  /// - Parameter isMute: the gate stays shut until a standby is synced.
  mutating func becomeActive(_ reason: String, isMute: Bool = false) -> [Action] {
    raiseEpoch(for: .begin)
    role = .active
    replication = isMute ? .waiting : .exposed
    waitingSince = now
    isProvisional = isMute
    return [.becomeActive(epoch: epoch, reason: reason), isMute ? .holdGate : .openGate, .sendHeartbeat]
  }

  mutating func fence(_ reason: String) -> [Action] {
    permission.void()
    standbyHasLeft = false
    role = .fenced
    replication = .waiting
    opensAt = nil
    isHandingOver = false
    isRestarting = false
    isResumed = false
    isProvisional = false
    handedOver = nil
    return [.fence(reason), .sendHeartbeat]
  }

  /// Whatever this host was for the pair is over; it claims nothing.
  private mutating func startOver(_ reason: String) -> [Action] {
    permission.void()
    isHeir = false
    role = .starting
    replication = .waiting
    replica = ReplicaView()
    return [.startOver(reason: reason), .sendHeartbeat]
  }

  private mutating func becomeStandby(_ reason: String, following epoch: UInt64) -> [Action] {
    self.epoch = max(self.epoch, epoch)
    permission.void()
    isHeir = false
    isOutbid = false
    role = .standby
    replication = .waiting
    replica = ReplicaView()
    return [.becomeStandby(reason: reason), .sendHeartbeat]
  }

  mutating func takeOver(_ reason: TakeoverReason, isMute: Bool = false) -> [Action] {
    let silence = reason == .handover ? 0 : peer.activeSilence
    raiseEpoch(for: .takeOver)
    isHeir = false
    role = .active
    replication = isMute ? .waiting : .exposed
    waitingSince = now
    isProvisional = false
    return [
      .takeOver(Takeover(epoch: epoch, reason: reason, areLedgersUsable: replica.isComplete, silence: silence)),
      isMute ? .holdGate : .openGate,
      .sendHeartbeat,
    ]
  }
}
