/// What the pair does when clients can reach one of its hosts alone: more often than a host its network fails.
///
/// The active host moves the connections to the standby, in the way of any switchover, when clients cannot reach it at the
/// service addresses and can reach the standby. Both must have been so for `linkDownAfter` without a break. A switch that
/// fails takes both hosts' links down and gives them back one after the other; then nobody moves. Where a cluster manager
/// decides, the manager moves the connections.
extension PairMachine {
  /// Why the standby is not the one to go on in this host's place.
  public enum Unfitness: Hashable, Sendable {
    /// Clients could not reach the standby at the service addresses.
    case unreachable
    /// The standby's packet table is not in force: it could not keep the kernel from answering.
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

  /// Whether the standby is one to give the connections to. A cluster manager knows for itself.
  public var mayHandOver: Bool { configuration.isManaged || peerUnfitness == nil }

  /// Clients can reach the standby and cannot reach this host.
  private var shouldMove: Bool {
    guard configuration.tracksLinks, !configuration.isManaged, let active, case .synced = active.phase,
      !active.isHandingOver, !active.isRestarting, !links.isReachable, isPeerReachable == true
    else { return false }
    return peer.latest?.role == .standby && peerUnfitness == nil
  }

  /// Begins or ends the outage. To be called after each event: an outage begins and ends between two ticks.
  mutating func noteWhetherToMove() {
    let outage = shouldMove ? active?.outage ?? Outage(since: now) : nil
    active?.outage = outage
  }

  /// Moves the connections when the outage has lasted long enough.
  /// - Parameter observed: The time since the last tick in which this host ran, ns.
  mutating func moveIfDue(_ observed: UInt64) -> [Action] {
    guard var outage = active?.outage, shouldMove else { return [] }
    outage.observed += min(observed, now - outage.since)
    active?.outage = outage
    guard outage.observed >= configuration.linkDownAfter, now >= links.movesAgainAt, !isWary, let peer = peer.latest
    else { return [] }
    active?.isHandingOver = true
    return [.note(.movesToReachable(node: peer.node)), .prepareHandOver]
  }
}

/// What a host knows of its way to the clients.
struct LinkView: Sendable {
  /// Clients can reach this host at the service addresses.
  var isReachable = true
  /// When the host may move its connections by itself again, ns: its last handing over was undone.
  var movesAgainAt: UInt64 = 0

  /// The time between a handing over that was undone and the next move, ns.
  static let pause: UInt64 = 5_000_000_000
}
