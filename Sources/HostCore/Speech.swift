internal import Replication
internal import Pairing

/// May a packet leave?
extension Host {
  /// What becomes of the packets of this pair's flows.
  public enum Passage: Hashable, Sendable {
    /// The connections are not this host's: nothing comes in, nothing leaves.
    case barred
    /// The connections are being restored: what comes for one waits until its socket stands.
    case takingOver
    /// What comes is recorded and goes to its socket; what would leave waits until the standby holds its record.
    case committed
    /// What comes and what leaves is recorded, and waits for nobody.
    case alone
    /// The connections are about to move: packets stay in the kernel's queues.
    case standingStill
  }

  public var passage: Passage {
    guard machine.role == .active else { return .barred }
    if machine.isHandingOver { return .standingStill }
    if isTakingOver { return .takingOver }
    return source.gate.isOpen ? .alone : .committed
  }

  /// Whether packets are to be taken out of the kernel's queues. They stay there, too, while the standby is slower than the
  /// traffic.
  public var takesPackets: Bool { passage != .standingStill && !source.isCongested }

  /// The last of the packets that may leave now; nil when none may.
  /// - Parameter now: CLOCK_MONOTONIC, ns.
  @inline(__always)
  public mutating func release(now: @autoclosure () -> UInt64) -> UInt32? {
    guard source.gate.waitingCount > 0 else {
      isHeldBack = false
      return nil
    }
    isHeldBack = now() > speaksUntil
    return isHeldBack ? nil : source.gate.release()
  }

  /// This host has looked around, and may speak a little longer: for itself, or as long as it hears the standby.
  /// - Returns: whether packets have waited for that.
  @discardableResult
  mutating func renewSpeech(now: UInt64) -> Bool {
    let alone = now + machine.configuration.deadAfter
    speaksUntil = source.gate.isOpen ? alone : min(alone, machine.trustsAcknowledgementsUntil)
    return isHeldBack
  }
}
