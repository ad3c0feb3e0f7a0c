extension PairMachine {
  /// A role with what the host knows in that role alone. A host that changes its role forgets the payload.
  ///
  /// ```
  ///   from       to         by
  ///   starting   standby    becomeStandby: an active host is heard
  ///   starting   active     becomeActive: nobody is
  ///   standby    active     takeOver: the active host is silent, or hands over
  ///   standby    starting   startOver: the active host is silent, and this host cannot continue its connections
  ///   active     fenced     fence: another host is or was active in a later epoch; handOver: the standby goes on
  ///   fenced     standby    becomeStandby: an active host is heard
  ///   fenced     active     becomeActive: that host is silent
  ///   fenced     starting   startOver: that host is silent, and this one may not act alone
  /// ```
  enum State: Sendable {
    case starting(Starting)
    case standby(Standby)
    case active(Active)
    case fenced(Fenced)
  }

  /// A host that listens before it claims anything.
  struct Starting: Sendable {
    /// Since when nobody was heard who may be active, ns.
    var heldSince: UInt64
  }

  /// A host that follows the active one.
  struct Standby: Sendable {
    var replica = ReplicaView()
    /// The active host has let go in this host's favour.
    var isHeir = false
    /// The arbiter's last answer named an epoch that the other host holds, and may have used, and that is new to this host.
    var isOutbid = false

    /// The ledgers on this host are what the active host's peers saw.
    var areLedgersCurrent: Bool { replica.isComplete && !isOutbid }

    /// An active host is heard: what it says of its standby counts, and the arbiter's last answer does not any more.
    mutating func hear(_ heartbeat: Heartbeat) {
      replica.hear(heartbeat)
      isOutbid = false
      if !replica.isComplete { isHeir = false }
    }
  }

  /// A host that was active and has let go of everything.
  struct Fenced: Sendable {
    /// When this host has handed over, ns; nil when it was fenced. The successor need not be heard at once.
    var handedOver: UInt64?
  }

  /// What a standby knows; nil in another role. Writing changes nothing in another role.
  var standby: Standby? {
    get { if case .standby(let standby) = state { standby } else { nil } }
    set { if case .standby = state, let newValue { state = .standby(newValue) } }
  }

  /// What an active host knows; nil in another role. Writing changes nothing in another role.
  var active: Active? {
    get { if case .active(let active) = state { active } else { nil } }
    set { if case .active = state, let newValue { state = .active(newValue) } }
  }

  /// An active host's phase changes. Nothing changes in another role.
  mutating func enter(_ phase: Phase) { active?.phase = phase }
}
