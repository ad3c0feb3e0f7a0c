internal import ControlAPI
internal import HostConfiguration
internal import HostCore
internal import Logging
internal import Pairing
internal import SystemCalls

/// What happens to a pair whose addresses this host cannot hold.
extension Pair {
  /// Between two moves that this host makes for that reason, ns: where neither host can hold them, the pair does not go to and fro.
  private static let betweenMoves: UInt64 = 60_000_000_000

  /// Clients do not reach the connections here. A standby that holds everything goes on with them; where there is none, or a cluster
  /// manager decides, they stay.
  func cannotHold(_ reason: String) {
    let now = MonotonicClock.now
    guard machine.replication == .synced, feed.host.isSteady, !(arbiter is ExternalArbiter), now >= nextMove
    else { return }
    nextMove = now + Self.betweenMoves
    logger.event(
      .switchover, level: .warning, "moves to the other host: this one cannot hold a service address",
      metadata: ["reason": "\(reason)", "connections": "\(table.count)"])
    switchover { [logger] result in
      guard case .failure(let error) = result else { return }
      logger.warning("the pair stays on this host", metadata: ["error": "\(error)"])
    }
  }
}
