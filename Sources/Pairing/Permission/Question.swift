extension PairMachine {
  /// Who is asked before this host acts alone, while the other host may be active and cannot say so.
  public enum Asks: Hashable, Sendable {
    /// Nobody: the configuration says that it may, or that it may not.
    case nobody
    /// The network, whether anybody else is there.
    /// - Parameter lead: How long before its answer is needed the question may be put, ns: a look at the network changes
    ///   nothing.
    case network(lead: UInt64)
    /// An arbiter that lets one host win each epoch.
    case arbiter

    /// How long before its answer is needed the question may be put, ns.
    var lead: UInt64 { if case .network(let lead) = self { lead } else { 0 } }
  }

  /// What a host may not do unasked.
  public enum Purpose: String, Hashable, Sendable {
    /// To be active with nothing to continue.
    case begin
    /// To go on in the other host's place.
    case takeOver
    /// Being active, to go on without a standby.
    case goAlone
  }

  /// What a host asks before it acts alone.
  public struct Question: Hashable, Sendable {
    /// The question's number, from 1. The answer names it.
    public var number: UInt64
    /// What the host would do.
    public var purpose: Purpose
    /// The epoch that this host would be in; an arbiter may name a later one.
    public var epoch: UInt64
    /// The highest epoch that this host knows.
    public var known: UInt64

    /// Each parameter is the property of its name.
    public init(number: UInt64, purpose: Purpose, epoch: UInt64, known: UInt64) {
      self.number = number
      self.purpose = purpose
      self.epoch = epoch
      self.known = known
    }
  }

  /// What follows from a question.
  public enum Answer: Hashable, Sendable {
    /// The host may act, in that epoch.
    case granted(epoch: UInt64)
    /// The host must not act.
    /// - Parameters:
    ///   - reason: Why, for the journal.
    ///   - epoch: An epoch that another host has won, if that is why.
    ///   - isHeld: Whether that host may still give the epoch back as if it had not won it.
    case refused(reason: String, epoch: UInt64? = nil, isHeld: Bool = false)
    /// There is no answer. The host does not act.
    case unavailable(reason: String)
  }
}

/// The question that is open, or the permission that its answer gave.
///
/// Each question is answered, and until then no other is put. An answer to a question whose cause is gone is void. So is a
/// permission that was not used at once: what was true when it was given may not be true any more.
struct Permission: Sendable {
  private enum State {
    /// No question is open, and no answer counts.
    case none
    /// The question is open. Its answer does not count any more when `isVoid`.
    case asked(PairMachine.Question, isVoid: Bool)
    /// The host may act in that epoch, until that time, ns.
    case given(PairMachine.Question, epoch: UInt64, until: UInt64)
    /// The same question is not put again before that time, ns.
    case denied(PairMachine.Question, until: UInt64)
  }

  private var state = State.none
  private var count: UInt64 = 0

  /// The epoch in which the host may act now; nil when it may not.
  func epoch(for purpose: PairMachine.Purpose, now: UInt64) -> UInt64? {
    guard case .given(let question, let epoch, let until) = state, question.purpose == purpose, now <= until else {
      return nil
    }
    return epoch
  }

  /// - Returns: the question to put; nil when one is open, or was answered, or may not be put again yet.
  mutating func ask(_ purpose: PairMachine.Purpose, epoch: UInt64, known: UInt64, now: UInt64) -> PairMachine.Question?
  {
    switch state {
    case .asked: return nil
    case .given(let question, _, let until):
      guard question.purpose != purpose || now > until else { return nil }
    case .denied(let question, let until):
      guard question.purpose != purpose || now >= until else { return nil }
    case .none: break
    }
    count += 1
    let question = PairMachine.Question(number: count, purpose: purpose, epoch: epoch, known: known)
    state = .asked(question, isVoid: false)
    return question
  }

  /// - Returns: the question that the answer is to; nil when it does not count any more.
  mutating func answered(_ number: UInt64) -> PairMachine.Question? {
    guard case .asked(let question, let isVoid) = state, question.number == number else { return nil }
    state = .none
    return isVoid ? nil : question
  }

  mutating func give(_ question: PairMachine.Question, epoch: UInt64, until: UInt64) {
    state = .given(question, epoch: epoch, until: until)
  }

  mutating func deny(_ question: PairMachine.Question, until: UInt64) { state = .denied(question, until: until) }

  /// The cause of the question is gone, unless it was asked for `purpose`: neither its answer nor a permission counts.
  mutating func void(except purpose: PairMachine.Purpose? = nil) {
    switch state {
    case .asked(let question, _) where question.purpose != purpose: state = .asked(question, isVoid: true)
    case .given(let question, _, _) where question.purpose != purpose: state = .none
    case .denied(let question, _) where question.purpose != purpose: state = .none
    case .none, .asked, .given, .denied: break
    }
  }
}
