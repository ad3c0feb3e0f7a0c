import HostCore
import Modelling
import Pairing
import Replication

/// The daemon ends and starts again, and the host's kernel keeps its connections meanwhile. Another daemon is another instance with
/// other streams; sockets and ledgers are the same, so it is the same node.
extension Node {
  /// No packet passes any more. What the standby lacks goes to it, and the daemon ends.
  func prepareRestart() {
    guard core.isSteady, !isMute, !isEnding else { return }
    world.note(self, "is to start again")
    handle(.restart)
    isMute = true
    handle(.muted)
  }

  func leave(isKept: Bool) {
    noteEnd(standbyWaits: machine.configuration.restartPatience)
    world.end(self, hostDies: false)
    // In time, or after the standby's patience.
    world.after(milliseconds: world.random.chance(70) ? 100...1500 : 1500...5000) { [world, self] in
      isKept ? world.resume(self) : world.start(host)
    }
  }

  /// What a daemon has of itself is new.
  func beginAgain(instance: UInt64) {
    renew(instance)
    // Its stream begins anew, with all of them.
    for connection in world.living where connection.owner === self { connection.baselinePosition = nil }
    isMute = false
    held = []
    // Closed by the client while nobody ran.
    settling = settling.filter { world.connections[$0.key] != nil }
    serverSession = nil
    clientSession = nil
    isFollowing = false
    late = []
    restoration = nil
    waiting = []
    isEnding = false
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
