internal import ControlAPI
internal import HostConfiguration
internal import HostCore
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
  /// Moves the pair to the other host.
  /// - Parameter completion: called once: when the other host is active, or with the reason why this one goes on.
  func switchover(completion: @escaping (Result<Void, ControlError>) -> Void) {
    switchover(until: nil, completion: completion)
  }

  /// - Parameter patience: until when connections in doubt are waited for, CLOCK_MONOTONIC, ns; nil: as long as they are, from now.
  private func switchover(until patience: UInt64?, completion: @escaping (Result<Void, ControlError>) -> Void) {
    guard machine.role == .active else { return completion(.failure(.notActive(pair: name))) }
    guard machine.replication == .synced, !feed.host.isTakingOver else {
      return completion(.failure(.notSynced(pair: name)))
    }
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

  func standStill() {
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
    handle(.stoodStill)
  }

  /// Whether what applications do here counts.
  var ownsItsConnections: Bool { feed.host.ownsConnections }

  func finishSwitchover(_ result: Result<Void, ControlError>) {
    let waiting = switchovers
    switchovers = []
    for completion in waiting { completion(result) }
  }
}
