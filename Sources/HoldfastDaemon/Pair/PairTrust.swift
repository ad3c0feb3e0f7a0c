internal import DaemonSupport
internal import HostConfiguration
internal import Logging
internal import SystemCalls
internal import TLSTransport

extension Pair {
  /// Days before its certificate expires from which on the daemon says so when it starts.
  private static let expiryNotice = 30

  /// At the start: what an operator should know about who may speak to this host.
  func reportTrust() {
    switch security {
    case .plaintext:
      logger.event(
        .channelInPlaintext, level: .warning,
        "replication and heartbeats are in plaintext and can be read and forged: security = \"none\"")
    case .tls(let context):
      let fingerprint = "\(context.identity.fingerprint)"
      switch context.identity.validity {
      case .valid(let days) where days >= Self.expiryNotice: break
      case .valid(let days):
        logger.warning(
          "this host's certificate expires in \(days) days; then no new standby can follow",
          metadata: ["certificate": "\(fingerprint)"])
      case .expired:
        logger.error(
          "this host's certificate has expired, and the peer will refuse it: make a new one with holdfastctl keygen",
          metadata: ["certificate": "\(fingerprint)"])
      case .notYet:
        logger.error(
          "this host's certificate is not valid yet, and the peer will refuse it: look at the clock",
          metadata: ["certificate": "\(fingerprint)"])
      }
    }
  }

  /// A datagram was no heartbeat that counts.
  func rejected(_ path: Int, _ reason: String) {
    guard let times = rejections.admit(now: MonotonicClock.now) else { return }
    logger.warning(
      "heartbeat ignored",
      metadata: [
        "path": "\(configuration.heartbeat.paths[path].local)", "reason": "\(reason)", "times": "\(times)",
      ])
  }
}
