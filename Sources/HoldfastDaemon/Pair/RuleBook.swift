internal import LinuxNetwork
internal import Logging

/// The packet rules of all pairs; one change writes them all anew, at once for every packet.
final class RuleBook {
  private var rules: [PairRules]
  private let logger: Logger

  init(_ rules: [PairRules], logger: Logger) {
    self.rules = rules
    self.logger = logger
  }

  /// Writes the rules. Packets that match and find no queue are dropped, so rules that a crashed daemon left are replaced and
  /// never removed first.
  func apply() throws { try PacketRules.apply(rules) }

  /// Whether all packets to the addresses of pair number `index` go to its queue, or those of registered sockets alone.
  func setClaim(_ claim: Bool, for index: Int) {
    guard rules[index].claim != claim else { return }
    rules[index].claim = claim
    do {
      try apply()
    } catch {
      rules[index].claim = !claim
      logger.error("cannot change the packet rules", metadata: ["error": "\(error)"])
    }
  }

  /// Drops the packets of pair number `index` from here on; those that wait in its queues stay there.
  func mute(_ index: Int) throws {
    rules[index].isMute = true
    try apply()
  }

  /// Takes every trace out of the kernel's tables.
  func remove() {
    do {
      try PacketRules.remove()
    } catch {
      logger.error("cannot remove the packet rules", metadata: ["error": "\(error)"])
    }
  }
}
