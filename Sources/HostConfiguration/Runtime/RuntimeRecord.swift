package import Logging

/// Keeps the `RuntimeState` of this daemon in its file for as long as this host may have one of its addresses.
///
/// What the daemon before this one had and is configured no more stays in it until it is gone from the host.
package final class RuntimeRecord {
  private let file: RuntimeStateFile
  private var state: RuntimeState
  private let own: [RuntimeState.Pair]
  private let logger: Logger

  package init(_ inForce: ConfigurationInForce, logger: Logger) {
    self.logger = logger
    file = RuntimeStateFile(control: inForce.configuration.node.control)
    state = RuntimeState(network: RuntimeState.currentNetwork, inForce)
    own = state.pairs
  }

  /// Writes the state, before any address is taken; the control socket is this daemon's by then.
  package func begin() {
    state.pairs = own + predecessors
    write()
  }

  /// Addresses that the daemon before this one had, by pair, and that are in the configuration no more.
  private var predecessors: [RuntimeState.Pair] {
    do throws(RuntimeStateFile.Unreadable) {
      let former = try file.read()
      guard former.network == state.network else { return [] }
      let configured = Set(state.addresses)
      return former.pairs.compactMap { pair in
        let rest = pair.addresses.filter { !configured.contains($0) }
        return rest.isEmpty ? nil : RuntimeState.Pair(name: pair.name, addresses: rest)
      }
    } catch {
      if !error.isMissing {
        logger.warning(
          "cannot read what the daemon before this one has written down: addresses of pairs that are no longer configured may stay",
          metadata: ["file": "\(file.path)", "error": "\(error)"])
      }
      return []
    }
  }

  /// Removes the addresses that are configured no more. Their connections have been ended before.
  package func settle() {
    let former = Array(state.pairs.dropFirst(own.count))
    guard !former.isEmpty else { return }
    state.pairs =
      own + AddressWithdrawal.remove(former, because: "it is no longer in the configuration", logger: logger)
    write()
  }

  /// The daemon ends in order.
  /// - Parameter holdsAddresses: this host still has some.
  package func end(holdsAddresses: Bool) { if !holdsAddresses { file.remove() } }

  private func write() {
    do {
      try file.write(state)
    } catch {
      logger.error(
        "cannot write down the addresses: without a good configuration holdfastctl fence cannot remove them",
        metadata: ["file": "\(file.path)", "error": "\(error)"])
    }
  }
}
