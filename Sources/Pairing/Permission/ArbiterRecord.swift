/// What an arbiter keeps of a pair, and what it answers. It has to change both parts in one step, if nobody else has changed
/// them since they were read (compare-and-swap); then of two hosts that ask at once one wins.
///
/// The *winner* is who won the last epoch. The *holder* is who may be speaking to peers without a standby; it says so again and
/// again, and what it has not said for a time counts no more (a lease). An active host with a synced standby is no holder: it is
/// mute without that one. So whoever finds no holder knows that nobody speaks whom the epoch that it wins does not bind.
public struct ArbiterRecord: Hashable, Sendable {
  /// Who won an epoch.
  public struct Win: Hashable, Sendable {
    public var epoch: UInt64
    public var node: String
    /// The instance of its daemon.
    public var instance: UInt64

    public init(epoch: UInt64, node: String, instance: UInt64) {
      self.epoch = epoch
      self.node = node
      self.instance = instance
    }
  }

  public enum Verdict: Hashable, Sendable {
    /// The host wins this epoch if nobody else has changed the record meanwhile, and is the holder.
    case wins(Win)
    case refused(PairMachine.Answer)
  }

  public var winner: Win?
  public var holder: Win?

  public init(winner: Win? = nil, holder: Win? = nil) {
    self.winner = winner
    self.holder = holder
  }

  public func judge(_ question: PairMachine.Question, of node: String, instance: UInt64) -> Verdict {
    let last = max(winner?.epoch ?? 0, holder?.epoch ?? 0)
    if let holder, holder.node != node {
      return .refused(
        .refused(reason: "\(holder.node) acts alone, in epoch \(holder.epoch)", epoch: last, isHeld: true))
    }
    // What this host has to continue is from before.
    if question.purpose != .begin, let winner, winner.node != node, winner.epoch > question.known {
      return .refused(
        .refused(
          reason: "\(winner.node) was active in epoch \(winner.epoch), this host knows of \(question.known)",
          epoch: last))
    }
    return .wins(Win(epoch: max(question.epoch, Epoch.after(last)), node: node, instance: instance))
  }
}
