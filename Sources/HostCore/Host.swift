public import Pairing
public import Replication

/// One host of one pair: what it is for the pair, what it records, what it holds of the other host, and what is to be done.
///
/// It has no IO and no clock. What happens goes in with the time. What is to be done comes out of `next`, one effect at a
/// time, in the order in which it must be carried out. Whoever carries an effect out may report what came of it, and have
/// what follows from that done, before it asks for the next one. The daemon and the simulation run the same core: neither
/// decides anything.
public struct Host: ~Copyable {
  public internal(set) var machine: PairMachine
  /// What this host has recorded as the active one, and what waits for it to be acknowledged.
  public var source = ReplicationSource(gateIsOpen: false)
  /// What this host holds as the standby.
  public internal(set) var leader = Leader()

  /// Connections are moving to the other host.
  var move: Move?
  /// This daemon is about to end, and the next one to go on.
  var restart: Restart?
  /// How the standby keeps up.
  var follower = Follower()
  /// Until when packets may leave, CLOCK_MONOTONIC, ns. A host that stood still looks around before it speaks, even if it was
  /// stopped in the middle of a batch; one that does not hear the standby does not go by its acknowledgements.
  var speaksUntil: UInt64 = 0
  /// A packet stayed because it was later than that.
  var isHeldBack = false
  /// Connections of the other host are being restored, or this host's own are built anew.
  public internal(set) var isTakingOver = false

  /// How often the machine was asked what to do: what it says of the pair may have changed since an earlier number.
  public private(set) var reactions: UInt64 = 0

  /// What is still to be done, last first.
  private var steps: [Step] = []
  /// What follows from what was reported since the last step, first first: it comes before what was to be done already.
  private var reported: [Step] = []

  public init(_ machine: PairMachine) { self.machine = machine }

  // MARK: What happens

  /// - Parameter now: CLOCK_MONOTONIC, ns; never earlier than before.
  public mutating func handle(_ event: Event, now: UInt64) {
    switch event {
    case .tick(let observed):
      report([.watch(observed: observed), .react(.tick), .renewSpeech, .effect(.sendHeartbeat)])
    case .heartbeat(let path, let heartbeat): report(.react(.heartbeat(path: path, heartbeat)))
    case .rumour(let heartbeat): report(.react(.rumour(heartbeat)))
    case .answer(let number, let answer): report(.react(.answer(to: number, answer)))
    case .permissionEnded: report(.react(.permissionEnded))
    case .promoted: report(.react(.promoted))
    case .demoted: report(.react(.demoted))
    case .links(let isReachable): report(.react(.links(isReachable: isReachable)))
    case .table(let isInForce): tableChanged(isInForce: isInForce)
    case .switchover: report(.react(.switchover))
    case .stoodStill: stoodStill(now: now)
    case .cannotMove: report(.react(.handOverFailed))
    case .restart: report(.react(.restart))
    case .muted: muted(now: now)
    case .rebuilding: isTakingOver = true
    case .takeoverEnded: isTakingOver = false
    case .standbyEnded(let reason): report(.endStandby(reason))
    case .sourceConnecting: leader.begin()
    case .sourceEnded(let reason): if leader.end() { report([.effect(.sourceLost(reason)), .react(.sourceLost)]) }
    case .end: report(.end)
    }
  }

  // MARK: What is to be done

  /// The next effect; nil when there is none any more, until something happens.
  /// - Parameters:
  ///   - now: CLOCK_MONOTONIC, ns; never earlier than before.
  ///   - floor: what `depth` was before something was reported, for who wants what follows from it and no more.
  public mutating func next(now: UInt64, above floor: Int = 0) -> Effect? {
    while true {
      if !reported.isEmpty {
        steps.append(contentsOf: reported.reversed())
        reported.removeAll(keepingCapacity: true)
      }
      guard steps.count > floor, let step = steps.popLast() else { return nil }
      switch step {
      case .effect(let effect): return effect
      case .react(let event): react(to: event, now: now)
      case .action(let action): push(expansion(of: action))
      case .openGate:
        source.gate.open()
        renewSpeech(now: now)
        return .packetsMayGo
      case .shutGate: source.gate.close()
      case .dropHeld: if let last = source.gate.forgetAll() { return .drop(upTo: last) }
      case .goodbye(let kind):
        guard follower.isAttached else { continue }
        source.outgoing.append(.goodbye, body: [kind.rawValue])
        return .flush
      case .endStandby(let reason): endStandby(reason)
      case .endFollowing: push([.effect(.stopFollowing), .effect(.flowsChanged(leader.forget()))])
      case .takeOver(let takeover): takeOver(takeover)
      case .watch(let observed): watch(observed: observed, now: now)
      case .renewSpeech: if renewSpeech(now: now) { return .packetsMayGo }
      case .checkMove: checkMove()
      case .checkRestart: checkRestart(now: now)
      case .end: end()
      }
    }
  }

  /// How much was to be done before what was reported last.
  public var depth: Int { steps.count }

  /// Whether `next` has something to do.
  public var hasNext: Bool { !steps.isEmpty || !reported.isEmpty }

  mutating func report(_ more: [Step]) { reported.append(contentsOf: more) }
  mutating func report(_ step: Step) { reported.append(step) }

  /// What follows from a step comes before what is to be done already.
  mutating func push(_ more: [Step]) { steps.append(contentsOf: more.reversed()) }
  mutating func push(_ step: Step) { steps.append(step) }

  private mutating func react(to event: PairMachine.Event, now: UInt64) {
    let (epoch, wasResumed) = (machine.epoch, machine.isResumed)
    let actions = machine.handle(event, now: now)
    reactions += 1
    // Whatever became of the addresses meanwhile, they are this host's.
    if wasResumed, !machine.isResumed, machine.role == .active { push(.effect(.takeBack)) }
    push(actions.map(Step.action))
    // Before anything is done in a new epoch it is on disk.
    if machine.epoch != epoch { push(.effect(.keepEpoch(machine.epoch))) }
  }

  /// What the machine has decided, as steps in the order that the network demands: first nothing leaves, then nothing comes,
  /// then the sockets end.
  private mutating func expansion(of action: PairMachine.Action) -> [Step] {
    switch action {
    case .becomeActive(let epoch, let reason):
      return [.endFollowing, .effect(.becomeActive(epoch: epoch, reason: reason))]
    case .takeOver(let takeover): return [.takeOver(takeover)]
    case .becomeStandby(let reason):
      return [
        .effect(.becomeStandby(reason: reason)), .endStandby("this host is standby"), .effect(.dropAddresses),
        .effect(.endLeftovers), .effect(.follow), .effect(.switchoverEnded(isMoved: true)),
      ]
    case .startOver(let reason): return [.endFollowing, .effect(.startOver(reason: reason))]
    case .fence(let reason):
      move = nil
      isTakingOver = false
      return [
        .effect(.fence(reason: reason)), .shutGate, .effect(.dropAddresses), .effect(.abandonConnections), .dropHeld,
        .endStandby("this host was fenced"),
      ]
    case .openGate: return [.openGate]
    case .holdGate: return [.shutGate]
    case .prepareHandOver:
      // Connections that are not restored yet could not move.
      guard !isTakingOver else { return [.react(.handOverFailed)] }
      move = Move()
      return [.effect(.standStill)]
    case .cancelHandOver:
      move = nil
      return [.effect(.goOn), .effect(.switchoverEnded(isMoved: false))]
    case .handOver:
      move = nil
      return [
        // A packet that met no socket would be answered with a reset.
        .shutGate, .effect(.dropAddresses), .effect(.recordLate), .effect(.abandonConnections), .dropHeld,
        .goodbye(.handover), .endStandby("this host has handed over"), .effect(.handedOver),
      ]
    case .leaveSource(let reason): return [.effect(.leaveSource(reason))]
    case .detachStandby(let reason): return [.endStandby(reason)]
    case .setReplication(let phase): return [.effect(.replicationChanged(phase))]
    case .sendHeartbeat: return [.effect(.sendHeartbeat)]
    case .ask(let question): return [.effect(.ask(question))]
    case .note(let note): return [.effect(.note(note))]
    }
  }

  private mutating func takeOver(_ takeover: PairMachine.Takeover) {
    isTakingOver = true
    let (ledgers, former) = leader.takeLedgers()
    push([
      .effect(.stopFollowing),
      .effect(.takeOver(takeover, Restoration(of: ledgers, obstacle: takeover.obstacle))),
      // Those that the other host had no more, unless they came again.
      .effect(.flowsChanged(former)),
    ])
  }

  /// The daemon ends, and leaves nothing to a next one.
  private mutating func end() {
    var steps: [Step] = []
    switch machine.role {
    // Nothing that a standby holds is current from here on.
    case .active: steps = [.goodbye(.leaving), .openGate, .effect(.unprotectConnections)]
    case .standby: steps = [.effect(.sayGoodbyeToSource)]
    case .starting, .fenced: break
    }
    push(steps + [.endStandby("this host stops"), .effect(.stopFollowing)])
  }

  private mutating func tableChanged(isInForce: Bool) {
    machine.isTableMissing = !isInForce
    report(.effect(.sendHeartbeat))
    // A standby without its table could not hold what comes for the connections.
    guard machine.role == .standby else { return }
    report(isInForce ? [.effect(.follow)] : [.effect(.sayGoodbyeToSource), .effect(.stopFollowing)])
  }
}

extension PairMachine.Takeover {
  /// Why no connection may be continued; nil when they may.
  fileprivate var obstacle: String? { areLedgersUsable ? nil : "the ledgers are older than what the peer has seen" }
}
