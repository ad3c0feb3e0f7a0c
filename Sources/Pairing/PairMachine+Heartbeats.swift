/// What this host tells the peer, and what it makes of the peer's heartbeats.
extension PairMachine {
  /// The heartbeat to send to the peer now.
  /// - Parameter sequence: A number that grows with every heartbeat of this instance.
  /// - Returns: A heartbeat without echo and credential, which are the sender's business.
  public func heartbeat(sequence: UInt64) -> Heartbeat {
    var heartbeat = Heartbeat(
      role: role, replication: replication, prefersActive: configuration.prefersActive, epoch: epoch,
      sequence: sequence,
      instance: instance, node: configuration.node, pair: configuration.pair)
    heartbeat.isUnreachable = !links.isReachable
    heartbeat.isTableMissing = isTableMissing
    if active?.isRestarting == true {
      heartbeat.patience = UInt8(clamping: configuration.restartPatience / 1_000_000_000)
    }
    return heartbeat
  }

  /// Takes a heartbeat that is from now. One of another pair counts as not heard.
  mutating func hear(_ heartbeat: Heartbeat, on path: Int) -> [Action] {
    guard heartbeat.pair == configuration.pair, heartbeat.node != configuration.node else { return [] }
    let wasAlive = peer.isAlive(path: path, now: now)
    let isNews = peer.hear(heartbeat, on: path, now: now)
    // A host that is heard again is not dead: whatever the answer is, it is to another question.
    if isNews, heartbeat.role == .active { permission.void(except: .goAlone) }
    // What comes late, behind a newer one over another path, says nothing of this one.
    let notes: [Action] = !wasAlive && peer.isAlive(path: path, now: now) ? [.note(.pathAlive(path))] : []
    return isNews ? notes + react(to: heartbeat) : notes
  }

  /// A peer that is active and cannot hear this host must not get a second one beside it. Nothing else follows from hearsay.
  mutating func hearRumour(_ heartbeat: Heartbeat) {
    guard case .starting = state, heartbeat.role == .active else { return }
    state = .starting(Starting(heldSince: now))
    permission.void()
  }

  private mutating func react(to heartbeat: Heartbeat) -> [Action] {
    switch state {
    case .starting where heartbeat.role == .starting: return beginTogether(with: heartbeat)
    case .starting, .fenced: return heartbeat.role == .active ? follow(heartbeat) : []
    case .standby: return hearAsStandby(heartbeat)
    case .active: return heartbeat.role == .active ? contend(with: heartbeat) : hearAsActive(heartbeat)
    }
  }

  /// Both hosts start. The one that is to be active need not wait.
  private mutating func beginTogether(with heartbeat: Heartbeat) -> [Action] {
    guard isPreferred(to: heartbeat), !isWary else { return [] }
    // They agree, so only the arbiter that knows of each epoch is asked.
    return (configuration.asks == .arbiter ? permission(for: .begin) : nil)
      ?? becomeActive("both hosts start, and this one is to be active")
  }

  /// The peer is active and this host claims nothing.
  private mutating func follow(_ heartbeat: Heartbeat) -> [Action] {
    // This host was active after that one: what it has is of the past, and it will see that when it hears of it.
    guard heartbeat.epoch >= epoch else { return [.sendHeartbeat] }
    return becomeStandby("\(heartbeat.node) is active", following: heartbeat.epoch)
  }

  /// This host is a standby. What the peer says may void its ledgers.
  private mutating func hearAsStandby(_ heartbeat: Heartbeat) -> [Action] {
    guard heartbeat.role == .active else {
      // It may have gone on alone until it died, and nobody heard so.
      standby?.replica.learn(of: heartbeat.epoch)
      return []
    }
    standby?.hear(heartbeat)
    epoch = max(epoch, heartbeat.epoch)
    let isEnded = standby?.replica.endSession(after: heartbeat) == true
    return isEnded ? [.leaveSource("\(heartbeat.node) has started anew")] : []
  }

  /// Both hosts are active. The one in the higher epoch stays; in the same epoch the one with the lesser name.
  private mutating func contend(with heartbeat: Heartbeat) -> [Action] {
    guard heartbeat.epoch > epoch || (heartbeat.epoch == epoch && heartbeat.node < configuration.node) else {
      return [.note(.conflict(node: heartbeat.node, epoch: heartbeat.epoch)), .sendHeartbeat]
    }
    return fence("\(heartbeat.node) is active in epoch \(heartbeat.epoch), this host in \(epoch)")
  }

  /// This host is active and the peer is not.
  private mutating func hearAsActive(_ heartbeat: Heartbeat) -> [Action] {
    guard heartbeat.epoch > epoch else {
      noticePredecessorsStandby()
      return []
    }
    // It was active in this host's place and is not any more.
    guard configuration.mayExpose, !isResumed, configuration.asks != .arbiter else {
      return fence("\(heartbeat.node) has been in epoch \(heartbeat.epoch), this host is in \(epoch)")
    }
    epoch = Epoch.after(heartbeat.epoch)
    return [.sendHeartbeat]
  }
}
