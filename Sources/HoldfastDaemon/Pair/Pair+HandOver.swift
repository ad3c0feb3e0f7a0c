internal import ControlAPI
internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import Replication
internal import SystemCalls

/// The planned switchover: while both hosts live, the connections move without loss.
///
/// First the packets wait in the kernel's queues and the sockets stand still; what they have not sent, and how far they have
/// taken input, becomes records like any other. When the standby has acknowledged the last of them the sockets here end without a
/// packet, the addresses go, and the standby is told to go on. Until that moment this host can change its mind.
extension Pair {
  /// How long the standby may acknowledge nothing before it has acknowledged the last record, ns. As long as it goes on, so does
  /// the move, however much there is to carry: calls on the sockets fail meanwhile, so going back would cost the applications
  /// their connections.
  private static let handOverPatience: UInt64 = 2_000_000_000

  /// Moves the pair to the other host.
  /// - Parameter completion: called once: when the other host is active, or with the reason why this one goes on.
  func switchover(completion: @escaping (Result<Void, ControlError>) -> Void) {
    switchover(until: nil, completion: completion)
  }

  /// - Parameter patience: until when connections in doubt are waited for, CLOCK_MONOTONIC, ns; nil: as long as they are, from now.
  private func switchover(until patience: UInt64?, completion: @escaping (Result<Void, ControlError>) -> Void) {
    guard machine.role == .active else { return completion(.failure(.notActive(pair: name))) }
    guard machine.replication == .synced, takeover == nil else { return completion(.failure(.notSynced(pair: name))) }
    if let unfitness { return completion(.failure(unfitness)) }
    // A connection in doubt could not be continued there.
    guard !hasDoubts || MonotonicClock.now >= patience ?? .max else {
      let patience = patience ?? MonotonicClock.now + Self.doubtPatience
      waitingMoves.append((patience, completion))
      moveTimer?.set(at: MonotonicClock.now + Self.doubtInterval)
      return
    }
    switchovers.append(completion)
    handle(.switchover)
  }

  /// Tries the switchovers again that wait for doubts to be cleared.
  func tryMoves() {
    let waiting = waitingMoves
    waitingMoves = []
    for (patience, completion) in waiting { switchover(until: patience, completion: completion) }
  }

  /// How long a switchover waits for connections whose packets may have passed unrecorded, ns; those that are still in doubt then
  /// are reset by the other host.
  private static let doubtPatience: UInt64 = 2_000_000_000
  private static let doubtInterval: UInt64 = 20_000_000

  func prepareHandOver() {
    logger.event(
      .switchover, "switchover: \(moveReason ?? "the connections move to the other host")",
      metadata: ["connections": "\(table.count)", "epoch": "\(machine.epoch)"])
    moveReason = nil
    // What the kernel has queued by now is still seen; what comes later waits there.
    path.process()
    packets?.setEnabled(false)
    // Much that is not sent takes its time: the standby must not take this host for dead meanwhile.
    var nextHeartbeat = MonotonicClock.now
    active.stopAll { [self] in
      guard MonotonicClock.now >= nextHeartbeat else { return }
      sendHeartbeat()
      nextHeartbeat = MonotonicClock.now + configuration.heartbeat.interval
    }
    handOverPosition = feed.source.outgoing.position
    awaitHandOver()
    feed.flush()
    checkHandOver()
  }

  /// Whether what applications do here counts. While the connections move they are about to be the other host's, and it does not.
  var ownsItsConnections: Bool { machine.role == .active && !machine.isHandingOver }

  /// The standby has acknowledged something.
  func checkHandOver() {
    guard machine.isHandingOver, let position = handOverPosition else { return }
    if feed.source.acknowledged >= position { handle(.handOverReady) }
  }

  /// The standby has had time to acknowledge more.
  func lookAtHandOver() {
    guard feed.source.acknowledged > handOverProgress else { return handle(.handOverFailed) }
    awaitHandOver()
    onMoving?()
  }

  private func awaitHandOver() {
    handOverProgress = feed.source.acknowledged
    handOverTimer?.set(at: MonotonicClock.now + Self.handOverPatience)
  }

  func handOver() {
    handOverTimer?.disarm()
    handOverPosition = nil
    feed.source.gate.close()
    dropWhatWaitsForNeighbours()
    // First nothing comes any more: a packet that met no socket would be answered with a reset.
    holder.drop()
    path.surrender()
    active.abandonAll()
    server?.sayGoodbye(.handover)
    // What comes now is dropped.
    path.isOwner = false
    packets?.setEnabled(true)
    server?.detach("this host has handed over")
    logger.event(.roleChanged, "handed over", metadata: ["role": "fenced", "epoch": "\(machine.epoch)"])
    leave()
  }

  func cancelHandOver() {
    handOverTimer?.disarm()
    handOverPosition = nil
    active.resumeAll()
    packets?.setEnabled(true)
    logger.event(.switchover, level: .warning, "switchover failed: the connections go on here")
    finishSwitchover(.failure(.notSynced(pair: name)))
  }

  func finishSwitchover(_ result: Result<Void, ControlError>) {
    let waiting = switchovers
    switchovers = []
    for completion in waiting { completion(result) }
  }
}
