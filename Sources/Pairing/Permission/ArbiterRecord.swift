/// What an arbiter keeps of a pair, and what it answers.
///
/// The arbiter has to change both parts in one step, if nobody else has changed them since they were read (compare-and-swap).
/// Then of two hosts that ask at once one wins.
///
/// The *winner* is who won the last epoch. The *holder* is who may be speaking to peers without a standby. The holder says so
/// again and again, and what it has not said for a time counts no more (a lease). An active host with a synced standby is no
/// holder: it is mute without that standby. So whoever finds no holder knows that nobody speaks whom the epoch that it wins
/// does not bind.
public struct ArbiterRecord: Hashable, Sendable {
  /// Who won an epoch.
  public struct Win: Hashable, Sendable {
    /// The epoch that was won. Below `Epoch.limit`.
    public var epoch: UInt64
    /// The name of the host that won it.
    public var node: String
    /// The instance of that host's daemon.
    public var instance: UInt64

    /// Each parameter is the property of its name.
    public init(epoch: UInt64, node: String, instance: UInt64) {
      self.epoch = epoch
      self.node = node
      self.instance = instance
    }
  }

  /// What follows from the record for a question.
  public enum Verdict: Hashable, Sendable {
    /// The host wins this epoch if nobody else has changed the record meanwhile, and is the holder.
    case wins(Win)
    /// The host gets this answer, and the record stays as it is.
    case refused(PairMachine.Answer)
  }

  /// Who won the last epoch; nil when nobody has won one.
  public var winner: Win?
  /// Who may be speaking to peers without a standby; nil when nobody may.
  public var holder: Win?

  /// Each parameter is the property of its name.
  public init(winner: Win? = nil, holder: Win? = nil) {
    self.winner = winner
    self.holder = holder
  }

  /// Answers a question, without changing the record.
  /// - Parameters:
  ///   - question: What the host would do.
  ///   - node: The host's name.
  ///   - instance: The instance of the host's daemon.
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
