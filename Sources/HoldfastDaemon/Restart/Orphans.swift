internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import SystemCalls

/// Connections of the daemon before this one that the configuration has no place for any more: their pair was removed from it, or
/// their address from the pair.
///
/// Their peers learn it by a reset, unless another host may have gone on with them: then they end here without a packet.
struct Orphans {
  let pair: String
  /// Every address of the pair counts; false when only some of them are gone.
  let isPairGone: Bool
  let mayBeElsewhere: Bool
  private let sockets: [SharedDescriptor]

  init(_ sockets: [SharedDescriptor], of image: RestartImage.Pair, isPairGone: Bool) {
    pair = image.name
    self.isPairGone = isPairGone
    self.sockets = sockets
    mayBeElsewhere =
      switch image.behind(now: MonotonicClock.now) {
      case .nobody, .patientStandby: false
      case .standby: true
      }
  }

  /// Ends them. The packet table of this daemon must be in force: that of the one before would swallow the resets.
  func end(logger: Logger) {
    for socket in sockets { end(socket.number, logger) }
    let what = isPairGone ? "pair \(pair) is" : "addresses of pair \(pair) are"
    let how =
      mayBeElsewhere
      ? "ended without a packet: the other host may have gone on with them" : "reset: they could not be moved"
    logger.event(
      .pairRemoved, level: .warning, "\(what) no longer in the configuration: \(sockets.count) connections \(how)",
      metadata: ["pair": "\(pair)", "connections": "\(sockets.count)"])
  }

  private func end(_ socket: Int32, _ logger: Logger) {
    do throws(SystemCallError) {
      if mayBeElsewhere { try RestoredSocket.abandonSilently(socket) } else { try SocketEnd.reset(socket) }
    } catch {
      logger.debug("the connection has ended", metadata: ["pair": "\(pair)", "error": "\(error)"])
    }
  }
}
