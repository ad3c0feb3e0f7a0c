import Modelling
import Pairing
import Replication

/// The daemon ends and starts again, and the host's kernel keeps its connections meanwhile. Another daemon is another instance with
/// other streams; sockets and ledgers are the same, so it is the same node.
extension Node {
  private static let acknowledgementPatience: UInt64 = 500_000_000

  /// No packet passes any more. What the standby lacks goes to it, and the daemon ends.
  func prepareRestart() {
    guard machine.role == .active, !machine.isHandingOver, !isMute else { return }
    world.note(self, "is to start again")
    handle(.restart)
    isMute = true
    flush()
    finishRestart(source.outgoing.position, until: now + Self.acknowledgementPatience)
  }

  private func finishRestart(_ position: UInt64, until deadline: UInt64) {
    let instance = instance
    world.after(milliseconds: 1...3) { [weak self] in
      self?.whenRunning { [weak self] in
        guard let self, self.instance == instance, isMute else { return }
        if machine.role == .active, machine.replication == .synced, source.acknowledged < position, now < deadline {
          return finishRestart(position, until: deadline)
        }
        let isKept = machine.role == .active
        noteEnd(standbyWaits: machine.configuration.restartPatience)
        world.end(self, hostDies: false)
        // In time, or after the standby's patience.
        world.after(milliseconds: world.random.chance(70) ? 100...1500 : 1500...5000) { [world, self] in
          isKept ? world.resume(self) : world.start(host)
        }
      }
    }
  }

  /// What a daemon has of itself is new.
  func beginAgain(instance: UInt64) {
    renew(instance)
    isMute = false
    held = []
    // Closed by the client while nobody ran.
    settling = settling.filter { world.connections[$0.key] != nil }
    source = ReplicationSource(gateIsOpen: false)
    replica = Replica()
    serverSession = nil
    clientSession = nil
    isFollowing = false
    handOverPosition = nil
    tenure = nil
    isPromoted = false
    // What the daemon before had won counts as long as nobody has heard of it otherwise.
    hasWon = hasWon && isWinnerUnheard
    isDead = false
    isPaused = false
    isToStandStill = false
    pausedHeartbeats = []
    pausedRest = []
  }
}
