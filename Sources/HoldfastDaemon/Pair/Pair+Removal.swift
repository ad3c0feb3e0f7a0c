internal import HostConfiguration
internal import Logging

/// A pair that the next daemon will not have: its connections move to the other host while this daemon still can move them.
extension Pair {
  /// Moves the connections where a synced standby follows, whatever `on_stop` says. Otherwise they are left to the next daemon, which
  /// resets them.
  /// - Parameter completion: as that of `prepareRestart`.
  func moveAway(completion: @escaping (Bool) -> Void) {
    let count = table.count
    onHandedOver = { [weak self] in
      guard let self else { return }
      logger.event(
        .pairRemoved, "pair \(name) is no longer in the configuration: \(count) connections moved to the other host",
        metadata: ["connections": "\(count)"])
      end()
      completion(false)
    }
    switchover { [weak self] result in
      // The other host need not be heard: this one is done as soon as it has let go.
      guard case .failure = result, let self, onHandedOver != nil else { return }
      onHandedOver = nil
      prepareRestart(completion: completion)
    }
  }
}
