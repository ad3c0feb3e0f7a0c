extension PairMachine {
  /// What the two hosts' configuration files say of the pair, as far as a decision depends on it.
  public struct Configuration: Hashable, Sendable {
    /// This host's name, in UTF-8 at most 255 bytes. The peer has another one.
    public var node: String
    /// The pair's name, in UTF-8 at most 255 bytes. Both hosts have the same.
    public var pair: String
    /// Whether this host is to be active when both hosts start with nothing to continue.
    public var prefersActive: Bool
    /// The number of heartbeat paths. Events number them from 0.
    public var paths: Int
    /// The time between heartbeats, ns.
    public var interval: UInt64
    /// The silence after which the peer counts as dead, ns. At least two intervals.
    public var deadAfter: UInt64
    /// The time that the gate stays shut after the standby is lost, ns. More than two intervals where `mayExpose` is true.
    public var exposeAfter: UInt64
    /// Whether an active host may open its gate without a standby.
    public var mayExpose: Bool
    /// The time that the standby is asked to wait while this host's daemon starts anew, ns: whole seconds, at most 255.
    public var restartPatience: UInt64
    /// Who is asked before this host acts alone.
    public var asks: Asks
    /// Whether the arbiter knows who was active in which epoch. A cluster manager does not.
    public var arbiterKnowsEpochs: Bool
    /// Whether the pair moves when clients can reach the other host alone.
    public var tracksLinks: Bool
    /// The time for which clients can reach the other host alone before the pair moves, ns.
    public var linkDownAfter: UInt64

    /// Each parameter is the property of its name. The defaults are those of the configuration file.
    public init(
      node: String, pair: String, prefersActive: Bool, paths: Int, interval: UInt64, deadAfter: UInt64,
      exposeAfter: UInt64, mayExpose: Bool, restartPatience: UInt64 = 10_000_000_000, asks: Asks = .nobody,
      arbiterKnowsEpochs: Bool = true, tracksLinks: Bool = true, linkDownAfter: UInt64 = 500_000_000
    ) {
      self.node = node
      self.pair = pair
      self.prefersActive = prefersActive
      self.paths = paths
      self.interval = interval
      self.deadAfter = deadAfter
      self.exposeAfter = exposeAfter
      self.mayExpose = mayExpose
      self.restartPatience = restartPatience
      self.asks = asks
      self.arbiterKnowsEpochs = arbiterKnowsEpochs
      self.tracksLinks = tracksLinks
      self.linkDownAfter = linkDownAfter
    }

    /// The time that a host listens at its start before it claims anything, ns. It is longer than a takeover takes, and
    /// twice as long where the other host is to be active.
    var startHold: UInt64 { max(1_000_000_000, 5 * deadAfter) * (prefersActive ? 1 : 2) }

    /// The time for which a host says that it goes on alone before it does, ns. Two heartbeats in a row may be lost.
    var announcing: UInt64 { 3 * interval }

    /// The time that a standby may be silent before the host says that it goes on alone, ns.
    public var patience: UInt64 { max(2 * interval, exposeAfter - min(exposeAfter, announcing)) }

    /// The time between a refusal and the next question, ns.
    var askAgainAfter: UInt64 { 4 * interval }

    /// A cluster manager decides which host is active.
    var isManaged: Bool { asks == .arbiter && !arbiterKnowsEpochs }
  }
}
