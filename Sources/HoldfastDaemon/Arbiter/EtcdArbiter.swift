internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import SystemCalls

/// etcd as a pair's arbiter: two keys, `PREFIX/PAIR/epoch` with who won the last epoch, and `PREFIX/PAIR/holder` with who speaks
/// alone, bound to that host's lease. Both change in one transaction, if nobody has changed either since they were read.
///
/// The lease is had from the start on, so that a takeover takes two round trips: one to read, one to win. It is kept alive as long
/// as the daemon lives; what it is bound to is there only while this host speaks alone. This host counts it from the moment in
/// which it last *asked* for it, and for nine tenths of its time: at etcd it cannot end before.
final class EtcdArbiter: Arbiter {
  private let configuration: Configuration.Pair.Etcd
  private let keys: (winner: String, holder: String)
  private let node: String
  private let instance: UInt64
  private let logger: Logger
  private let questions: HTTPLane
  private let upkeep: HTTPLane
  private var keepAliveTimer: Timer?
  private var leaseTimer: Timer?
  private var questionTimer: Timer?

  private var lease: (id: String, until: UInt64)?
  private var isRenewing = false
  private var isStopped = false
  private var speaks = false
  private var open: (number: UInt64, completion: (PairMachine.Answer) -> Void)?
  private var attempts = 0
  /// A question that waits for a lease.
  private var pending: PairMachine.Question?
  /// What this host has won, or may have: its word was lost. It is given back as soon as this host does not need it.
  private var won: Won?
  private var isGivingBack = false

  private struct Won {
    var win: ArbiterRecord.Win
    var before: ArbiterRecord.Win?
    var wasUsed = false
    /// Until when what is not there may still come: etcd has not said what became of it.
    var inDoubtUntil: UInt64?
  }
  /// ns after which etcd has given up a request (its own limit is some seconds).
  private static let doubt: UInt64 = 30_000_000_000

  private(set) var problem: String?
  var onPermissionEnded: (() -> Void)?
  var onProblem: ((String?) -> Void)?
  let asks = PairMachine.Asks.arbiter

  init(
    _ configuration: Configuration.Pair.Etcd, pair: String, node: String, instance: UInt64, loop: EventLoop,
    logger: Logger
  ) throws(SystemCallError) {
    self.configuration = configuration
    let prefix = configuration.prefix.hasSuffix("/") ? configuration.prefix : configuration.prefix + "/"
    keys = (EtcdMessages.base64("\(prefix)\(pair)/epoch"), EtcdMessages.base64("\(prefix)\(pair)/holder"))
    self.node = node
    self.instance = instance
    self.logger = logger
    let trust = HTTPLane.Trust(
      authorities: configuration.authorities, certificate: configuration.certificate, key: configuration.key)
    questions = try HTTPLane(
      endpoints: configuration.endpoints, trust: trust, loop: loop, priority: LoopPriority.heartbeat,
      description: "etcd for \(pair)")
    upkeep = try HTTPLane(
      endpoints: configuration.endpoints, trust: trust, loop: loop, priority: LoopPriority.heartbeat,
      description: "etcd lease of \(pair)")
    keepAliveTimer = try loop.addTimer(priority: LoopPriority.control, description: "etcd lease of \(pair)") {
      [weak self] in self?.renew()
    }
    // Before anything of that turn leaves.
    leaseTimer = try loop.addTimer(priority: LoopPriority.heartbeat, description: "end of \(pair)'s lease") {
      [weak self] in self?.leaseEnded()
    }
    questionTimer = try loop.addTimer(priority: LoopPriority.control, description: "patience with etcd for \(pair)") {
      [weak self] in self?.answer(.unavailable(reason: "etcd did not answer in time"))
    }
  }

  func start() { renew() }

  func stop() {
    isStopped = true
    keepAliveTimer?.disarm()
    leaseTimer?.disarm()
    questionTimer?.disarm()
    open = nil
  }

  // MARK: The lease

  private var leaseTime: UInt64 { configuration.lease }

  private func renew() {
    guard !isStopped else { return }
    keepAliveTimer?.set(at: MonotonicClock.now + leaseTime / 3)
    guard !isRenewing else { return }
    isRenewing = true
    let asked = MonotonicClock.now
    guard let lease else { return grant(asked) }
    let patience = min(configuration.timeout, leaseTime / 3)
    upkeep.post(
      "/v3/lease/keepalive", EtcdMessages.text(EtcdMessages.KeepAlive(id: lease.id)), patience: patience
    ) { [weak self] result in
      guard let self else { return }
      switch result {
      case .failure(let failure): renewed(failure.description)
      case .success(let bytes):
        guard let kept = EtcdMessages.read(EtcdMessages.KeptAlive.self, bytes)?.result else {
          return renewed("etcd's answer to a keepalive cannot be read")
        }
        guard let time = kept.time.flatMap({ UInt64($0) }), time > 0 else {
          // It has ended there; so has what was bound to it.
          self.lease = nil
          if speaks { leaseEnded() }
          return grant(asked)
        }
        extend(lease.id, asked, seconds: time)
        renewed(nil)
      }
    }
  }

  private func grant(_ asked: UInt64) {
    let seconds = (leaseTime + 999_999_999) / 1_000_000_000
    upkeep.post(
      "/v3/lease/grant", EtcdMessages.text(EtcdMessages.Grant(time: "\(seconds)")), patience: configuration.timeout
    ) { [weak self] result in
      guard let self else { return }
      switch result {
      case .failure(let failure): renewed(failure.description)
      case .success(let bytes):
        guard let lease = EtcdMessages.read(EtcdMessages.Lease.self, bytes), let id = lease.id,
          let time = lease.time.flatMap({ UInt64($0) }), time > 0
        else { return renewed("etcd granted no lease: \(String(decoding: bytes.prefix(200), as: UTF8.self))") }
        extend(id, asked, seconds: time)
        renewed(nil)
      }
    }
  }

  private func extend(_ id: String, _ asked: UInt64, seconds: UInt64) {
    lease = (id, asked + seconds * 900_000_000)
    if speaks { leaseTimer?.set(at: lease?.until) }
    if let question = pending {
      pending = nil
      read(question, id)
    }
  }

  private func renewed(_ problem: String?) {
    isRenewing = false
    report(problem)
    if let problem, pending != nil { answer(.unavailable(reason: problem)) }
    guard problem == nil else {
      // What keeps a host speaking is tried again soon.
      keepAliveTimer?.set(at: MonotonicClock.now + min(leaseTime / 6, 500_000_000))
      return
    }
    settle()
  }

  private func leaseEnded() {
    guard speaks else { return }
    if let lease, lease.until > MonotonicClock.now { return leaseTimer?.set(at: lease.until) ?? () }
    speaks = false
    onPermissionEnded?()
  }

  private func report(_ problem: String?) {
    guard problem != self.problem else { return }
    self.problem = problem
    onProblem?(problem)
  }

  // MARK: Questions

  func ask(_ question: PairMachine.Question, completion: @escaping (PairMachine.Answer) -> Void) {
    open = (question.number, completion)
    attempts = 0
    questionTimer?.set(at: MonotonicClock.now + configuration.timeout)
    guard let lease, lease.until > MonotonicClock.now + leaseTime / 4 else {
      // Without a lease there is nothing to bind to: one is on its way, or is asked for.
      pending = question
      return renew()
    }
    read(question, lease.id)
  }

  private func answer(_ answer: PairMachine.Answer) {
    guard let open else { return }
    self.open = nil
    pending = nil
    questionTimer?.disarm()
    open.completion(answer)
    settle()
  }

  private func read(_ question: PairMachine.Question, _ lease: String) {
    snapshot { [weak self] result in
      guard let self, open?.number == question.number else { return }
      switch result {
      case .failure(let failure): answer(.unavailable(reason: failure.description))
      case .success(let snapshot): decide(question, lease, snapshot)
      }
    }
  }

  private func decide(_ question: PairMachine.Question, _ lease: String, _ snapshot: EtcdSnapshot) {
    switch snapshot.record.judge(question, of: node, instance: instance) {
    case .refused(let refusal): answer(refusal)
    case .wins(let win):
      attempts += 1
      guard attempts <= 3 else { return answer(.unavailable(reason: "others change the pair's keys again and again")) }
      // From here on this host may have won, whatever becomes of the answer.
      won = Won(
        win: win, before: snapshot.record.winner, inDoubtUntil: MonotonicClock.now + Self.doubt)
      let change = EtcdMessages.Transaction(
        compare: compare(snapshot),
        success: [
          .init(requestPut: .init(key: keys.winner, value: EtcdMessages.value(of: win))),
          .init(requestPut: .init(key: keys.holder, value: EtcdMessages.value(of: win), lease: lease)),
        ], failure: [])
      transact(change) { [weak self] result in
        guard let self, open?.number == question.number else { return }
        switch result {
        case .failure(let failure): answer(.unavailable(reason: failure.description))
        case .success(let said) where said.succeeded ?? false:
          won?.inDoubtUntil = nil
          answer(.granted(epoch: win.epoch))
        case .success:
          won = nil
          read(question, lease)
        }
      }
    }
  }

  private func compare(_ snapshot: EtcdSnapshot) -> [EtcdMessages.Compare] {
    [
      .init(key: keys.winner, modRevision: snapshot.winnerRevision),
      .init(key: keys.holder, modRevision: snapshot.holderRevision),
    ]
  }

  private func snapshot(_ completion: @escaping (Result<EtcdSnapshot, HTTPLane.Failure>) -> Void) {
    let both = EtcdMessages.Transaction(
      compare: [],
      success: [.init(requestRange: .init(key: keys.winner)), .init(requestRange: .init(key: keys.holder))], failure: []
    )
    transact(both) { result in
      completion(
        result.flatMap { said in
          var snapshot = EtcdSnapshot()
          let found = (said.responses ?? []).map { $0.responseRange?.kvs?.first }
          guard found.count == 2 else { return .failure(.init(description: "etcd's answer cannot be read")) }
          for (index, pair) in found.enumerated() {
            guard let pair else { continue }
            guard let revision = pair.modRevision, let value = pair.value, let win = EtcdMessages.win(value) else {
              return .failure(.init(description: "one of the pair's keys in etcd was not written by Holdfast"))
            }
            if index == 0 {
              (snapshot.record.winner, snapshot.winnerRevision) = (win, revision)
            } else {
              (snapshot.record.holder, snapshot.holderRevision) = (win, revision)
            }
          }
          return .success(snapshot)
        })
    }
  }

  private func transact(
    _ transaction: EtcdMessages.Transaction,
    _ completion: @escaping (Result<EtcdMessages.TransactionAnswer, HTTPLane.Failure>) -> Void
  ) {
    questions.post("/v3/kv/txn", EtcdMessages.text(transaction), patience: configuration.timeout) {
      [weak self] result in
      guard let self, !isStopped else { return }
      if case .failure(let failure) = result { report(failure.description) }
      completion(
        result.flatMap { bytes in
          guard let answer = EtcdMessages.read(EtcdMessages.TransactionAnswer.self, bytes) else {
            return .failure(.init(description: "etcd's answer cannot be read"))
          }
          return .success(answer)
        })
    }
  }

  // MARK: What was won

  func speaksAlone(_ alone: Bool) {
    guard alone != speaks else { return }
    speaks = alone
    if alone {
      won?.wasUsed = true
      leaseTimer?.set(at: lease?.until ?? 0)
    } else {
      leaseTimer?.disarm()
      settle()
    }
  }

  /// Lets go of what this host has won and does not need: the holder's key goes, and an epoch in which it never spoke is as if it
  /// had not been won. Tried again with each renewal of the lease, until it is done.
  private func settle() {
    guard let won, !speaks, open == nil, !isGivingBack, !isStopped else { return }
    isGivingBack = true
    snapshot { [weak self] result in
      guard let self else { return }
      guard case .success(let snapshot) = result, !speaks, open == nil else {
        isGivingBack = false
        return
      }
      var changes: [EtcdMessages.Operation] = []
      if snapshot.record.holder == won.win { changes.append(.init(requestDeleteRange: .init(key: keys.holder))) }
      if !won.wasUsed, snapshot.record.winner == won.win {
        changes.append(
          won.before.map { .init(requestPut: .init(key: self.keys.winner, value: EtcdMessages.value(of: $0))) }
            ?? .init(requestDeleteRange: .init(key: keys.winner)))
      }
      guard !changes.isEmpty else {
        isGivingBack = false
        if MonotonicClock.now >= won.inDoubtUntil ?? 0 { self.won = nil }
        return
      }
      transact(.init(compare: compare(snapshot), success: changes, failure: [])) { [weak self] result in
        guard let self else { return }
        isGivingBack = false
        if case .success(let said) = result, said.succeeded ?? false, self.won?.win == won.win { self.won = nil }
      }
    }
  }
}
