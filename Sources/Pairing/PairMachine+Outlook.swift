/// What callers ask the machine between two events.
extension PairMachine {
  /// What this host is for the pair.
  public var role: Role {
    switch state {
    case .starting: .starting
    case .standby: .standby
    case .active: .active
    case .fenced: .fenced
    }
  }

  /// What follows an active host; `.waiting` in another role.
  public var replication: ReplicationPhase { active?.phase.replication ?? .waiting }

  /// This host is active, its sockets stand still, and the standby is about to go on in its place.
  public var isHandingOver: Bool { active?.isHandingOver == true }

  /// This host is active, its daemon goes on where the last one ended, and no standby was synced since. The host has not said
  /// either that it goes on alone.
  public var isResumed: Bool { if case .resumed = active?.claim { true } else { false } }

  /// Packets may leave this host that no standby has confirmed, now or shortly.
  public var speaksAlone: Bool { active?.speaksAlone == true }

  /// No active host was heard for so long that it counts as dead.
  public var isActiveSilent: Bool { peer.activeSilence >= peer.tolerance }

  /// This host is a standby, and its ledgers are what the active host's peers saw.
  public var areLedgersCurrent: Bool { standby?.areLedgersCurrent == true }

  /// When a path last brought something, ns on this host's clock; nil for never and for a path that is none.
  /// - Parameter path: The path's number, from 0.
  public func lastHeard(path: Int) -> UInt64? { peer.lastHeard.indices.contains(path) ? peer.lastHeard[path] : nil }

  /// Whether a path has brought something less than `deadAfter` ago.
  /// - Parameters:
  ///   - path: The path's number, from 0. A path that is none is not alive.
  ///   - now: CLOCK_MONOTONIC, ns.
  public func isAlive(path: Int, now: UInt64) -> Bool { peer.isAlive(path: path, now: now) }

  /// The time until which the standby's acknowledgements may let packets go while the gate is shut, ns; 0 for a standby that
  /// was never heard.
  ///
  /// A standby that has not been heard for `deadAfter` may have gone on in this host's place. An acknowledgement may be from
  /// before that. The packets that it would let go say nothing that the other host does not know, but they reach the peers
  /// after the other host's packets, with timestamps that go back.
  public var trustsAcknowledgementsUntil: UInt64 { peer.heardUntil ?? 0 }
}
