/// What a run is about. Everything else follows from the seed.
public struct Scenario: Sendable {
  public enum Policy: String, Sendable, CaseIterable {
    /// No host ever acts alone unless the other one cannot: any failure of the network may happen.
    case hold
    /// An active host without a standby goes on alone: no arbiter stands behind it, so one heartbeat path always works, except
    /// that it loses up to two heartbeats in a row.
    case allow
    /// A host that would act alone asks an arbiter first: any failure of the network may happen, towards the arbiter, too.
    case arbiter
    /// A cluster manager says which host may act alone. It knows nothing of ledgers, so that one heartbeat path works here, too.
    case external

    /// Two heartbeats in a row may be lost on a path that never breaks; on the other one anything may happen.
    var needsAPath: Bool { self == .allow || self == .external }
  }

  /// A part of the system made wrong on purpose: the invariants must notice.
  public enum Sabotage: Sendable, CaseIterable {
    /// Packets leave when they are made.
    case gateOff
    /// The standby acknowledges what it has received and not yet folded.
    case acknowledgeBeforeFold
    /// A host that is active takes every epoch that it hears of for an earlier one.
    case epochNotCompared
    /// A host acts alone although the policy is to hold.
    case exposedWithoutPermission
    /// A host goes on speaking alone although its lease has ended.
    case leaseNotWatched
    /// A restored socket counts its timestamps on the new host's clock.
    case timestampsNotCarriedOver
    /// After a crash every connection goes to the standby at once, whatever its ledger lacks.
    case gapNotWaitedFor
    /// A daemon that goes on after a crash takes it that nobody has gone on meanwhile.
    case heirForgotten
  }

  public var policy: Policy
  public var sabotage: Sabotage?
  /// Events before the faults end and the pair must come to rest.
  public var steps: Int
  /// Whether daemons crash and go on with their sockets.
  public var crashes: Bool
  /// Whether clients cannot reach hosts at times.
  public var linkFaults: Bool

  public init(
    policy: Policy, sabotage: Sabotage? = nil, steps: Int = 4000, crashes: Bool = true, linkFaults: Bool = true
  ) {
    self.policy = policy
    self.sabotage = sabotage
    self.steps = steps
    self.crashes = crashes
    self.linkFaults = linkFaults
  }
}

/// What a run came to.
public struct Outcome: Sendable {
  public var seed: UInt64
  public var steps = 0
  /// What was violated; nil when nothing was.
  public var violation: String?
  /// The last things that happened, for who reads why.
  public var trace: [String] = []
  public var takeovers = 0
  /// Connections that went on on another host, and that were reset because they could not.
  public var continued = 0
  public var reset = 0
  /// Questions to clients after a takeover, and sockets that stood after an answer.
  public var asked = 0
  public var answered = 0
  public var exposures = 0
  /// Moves to the other host because clients could reach that one alone.
  public var moved = 0
  /// Daemons that went on with the connections of their predecessors.
  public var resumed = 0
  /// Those of them whose predecessors had crashed; ledgers that were begun anew and have become complete; connections that were lost
  /// because theirs had not.
  public var survived = 0
  public var settled = 0
  public var lostInGap = 0
  public var fenced = 0
  public var bytes = 0

  public var description: String {
    (["seed \(seed): \(violation ?? "nothing was violated")"] + trace).joined(separator: "\n")
  }
}
