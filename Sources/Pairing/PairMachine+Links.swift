/// What the pair does when clients can reach one of its hosts alone: more often than a host its network fails.
///
/// The active host moves the connections to the standby, in the way of any switchover, when it cannot be reached at the service
/// addresses and the standby can. Both must have been so for `linkDownAfter` without a break: a switch that fails takes both hosts'
/// links down, and gives them back one after the other; then nobody moves. With a cluster manager it is the manager that moves.
extension PairMachine {
  /// Why the standby is not the one to go on here.
  public enum Unfitness: Hashable, Sendable {
    /// Clients could not reach it at the service addresses.
    case unreachable
    /// Its packet table is not in force: it could not keep the kernel from answering.
    case tableMissing
  }

  /// Why the other host should not be given the connections, as far as it has said; nil when nothing is known against it.
  public var peerUnfitness: Unfitness? {
    peer.isUnreachable ? .unreachable : peer.isTableMissing ? .tableMissing : nil
  }

  /// Whether clients can reach the other host at the service addresses; nil when it is not heard, or does not say.
  public var isPeerReachable: Bool? {
    guard peer.isHeard, let latest = peer.latest, latest.saysConditions else { return nil }
    return !latest.isUnreachable
  }

  /// The other host has said that its packet table is not in force.
  public var isPeerTableMissing: Bool { peer.isTableMissing }

  /// A cluster manager decides which host is active.
  var isManaged: Bool { configuration.asks == .arbiter && !configuration.arbiterKnowsEpochs }

  /// Whether the standby is one to give the connections to. A cluster manager knows for itself.
  public var mayHandOver: Bool { isManaged || peerUnfitness == nil }

  /// Clients can reach the standby and cannot reach this host.
  private var shouldMove: Bool {
    guard configuration.tracksLinks, !isManaged, role == .active, replication == .synced, !isHandingOver, !isRestarting,
      !links.isReachable, isPeerReachable == true
    else { return false }
    return peer.latest?.role == .standby && peerUnfitness == nil
  }

  /// To be called after each event: a break begins and ends between two ticks.
  mutating func noteWhetherToMove() { links.wait = shouldMove ? links.wait ?? (since: now, observed: 0) : nil }

  /// - Parameter observed: ns since the last tick in which this host ran.
  mutating func moveIfDue(_ observed: UInt64) -> [Action] {
    guard var wait = links.wait, shouldMove else { return [] }
    wait.observed += min(observed, now - wait.since)
    links.wait = wait
    guard wait.observed >= configuration.linkDownAfter, now >= links.movesAgainAt, !isWary, let peer = peer.latest
    else {
      return []
    }
    isHandingOver = true
    return [.note(.movesToReachable(node: peer.node)), .prepareHandOver]
  }
}

/// What a host knows of its way to the clients.
struct LinkView: Sendable {
  /// Clients can reach this host at the service addresses.
  var isReachable = true
  /// Since when they cannot, and can reach the standby, ns, and how much of that was observed, ns; nil while it is not so.
  var wait: (since: UInt64, observed: UInt64)?
  /// No move by itself before, ns: the last one was undone.
  var movesAgainAt: UInt64 = 0

  /// Between a move that was undone and the next one, ns.
  static let pause: UInt64 = 5_000_000_000
}
