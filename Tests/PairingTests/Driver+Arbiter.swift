import Pairing

/// Who is asked before a host acts alone, in virtual time: an arbiter with a record and a lease, or the network.
extension Driver {
  struct Arbiter {
    var record = ArbiterRecord()
    /// When the holder's lease ends, ms.
    var leaseEnds: UInt64 = 0
    /// Whom it cannot reach.
    var unreachable: Set<String> = []
    /// ms that a message takes, one way, by host.
    var delays: [String: UInt64] = [:]
    /// By host, what it was granted.
    var held: [String: Grant] = [:]

    func delay(_ host: String) -> UInt64 { delays[host] ?? 2 }

    mutating func expire(_ now: UInt64) { if now >= leaseEnds { record.holder = nil } }
  }

  struct Grant {
    /// Until when its host counts on the lease, ms.
    var until: UInt64
    var before: ArbiterRecord.Win?
    var wasUsed = false
  }

  /// ms.
  private var lease: UInt64 { number("lease", 1000) }

  func ask(_ question: PairMachine.Question, for host: String) {
    guard !isExternal else { return askManager(question, for: host) }
    let instance = hosts[host]?.starts
    var isOver = false
    func answer(_ answer: PairMachine.Answer, _ grant: Grant?, _ driver: Driver) {
      guard let state = driver.hosts[host], !state.isDead, state.starts == instance else { return }
      guard !isOver else {
        // What was won and comes too late is given back, unless a later question has won, too.
        if let grant, driver.arbiter.held[host] == nil {
          driver.arbiter.held[host] = grant
          driver.giveBack(host)
        }
        return
      }
      isOver = true
      guard !state.isPaused else {
        driver.hosts[host]?.messages.append { $0.hear(answer, grant, to: question, on: host) }
        return
      }
      driver.hear(answer, grant, to: question, on: host)
    }
    guard asks == .arbiter else {
      after(number("look", 40)) { answer($0.look(for: host, question), nil, $0) }
      return
    }
    let asked = now
    after(number("timeout", 300)) { answer(.unavailable(reason: "the arbiter does not answer"), nil, $0) }
    after(arbiter.delay(host)) { driver in
      guard !driver.arbiter.unreachable.contains(host) else { return }
      let (reply, grant) = driver.decide(question, for: host, asked: asked)
      driver.after(driver.arbiter.delay(host)) { answer(reply, grant, $0) }
    }
  }

  /// As the daemon has it, the answer is there at once.
  private func askManager(_ question: PairMachine.Question, for host: String) {
    let isPromoted = hosts[host]?.isPromoted == true
    let answer =
      isPromoted
      ? PairMachine.Answer.granted(epoch: question.epoch) : .refused(reason: "the manager has not promoted it")
    handle(.answer(to: question.number, answer), on: host)
  }

  /// A host that was active and is not any more has to be promoted again.
  func followPromotion(_ host: String) {
    let isActive = hosts[host]?.machine?.role == .active
    if hosts[host]?.wasActive == true, !isActive { hosts[host]?.isPromoted = false }
    hosts[host]?.wasActive = isActive
  }

  private func hear(_ answer: PairMachine.Answer, _ grant: Grant?, to question: PairMachine.Question, on host: String) {
    if case .granted(let epoch) = answer { note(host, "is granted epoch \(epoch)") }
    if let grant { arbiter.held[host] = grant }
    handle(.answer(to: question.number, answer), on: host)
  }

  /// The other host's kernel answers for the address while its daemon is active, and while the LAN carries it.
  private func look(for host: String, _ question: PairMachine.Question) -> PairMachine.Answer {
    let other = other(than: host)
    let isHeld = hosts[other]?.machine?.role == .active && hosts[other]?.isPaused == false
    if isHeld, !cuts.contains(["lan", other]), !cuts.contains(["lan", host]) {
      return .refused(reason: "somebody answers for the address")
    }
    return objection.map { .refused(reason: $0) } ?? .granted(epoch: question.epoch)
  }

  private func decide(
    _ question: PairMachine.Question, for host: String, asked: UInt64
  ) -> (PairMachine.Answer, Grant?) {
    arbiter.expire(now)
    switch arbiter.record.judge(question, of: host, instance: hosts[host]?.starts ?? 0) {
    case .refused(let answer): return (answer, nil)
    case .wins(let win):
      let grant = Grant(until: asked + lease, before: arbiter.record.winner)
      arbiter.record = ArbiterRecord(winner: win, holder: win)
      arbiter.leaseEnds = now + lease
      return (.granted(epoch: win.epoch), grant)
    }
  }

  /// A host that speaks alone renews its lease, and finds that it has ended.
  func renew(_ host: String) {
    guard let grant = arbiter.held[host], hosts[host]?.machine?.speaksAlone == true else { return }
    guard now < grant.until else {
      arbiter.held[host] = nil
      note(host, "has lost its lease")
      return handle(.permissionEnded, on: host)
    }
    let asked = now
    after(arbiter.delay(host)) { driver in
      driver.arbiter.expire(driver.now)
      guard !driver.arbiter.unreachable.contains(host), driver.arbiter.record.holder?.node == host else { return }
      driver.arbiter.leaseEnds = driver.now + driver.lease
      driver.after(driver.arbiter.delay(host)) { $0.arbiter.held[host]?.until = asked + $0.lease }
    }
  }

  /// What a host has won and does not need is free for the other one; if it never used it, it is as if it had not won.
  func giveBack(_ host: String) {
    guard let grant = arbiter.held[host], let machine = hosts[host]?.machine else { return }
    guard !machine.speaksAlone else {
      arbiter.held[host]?.wasUsed = true
      return
    }
    arbiter.held[host] = nil
    note(host, grant.wasUsed ? "gives the lease back" : "gives back what it won and did not use")
    after(arbiter.delay(host)) { driver in
      driver.arbiter.expire(driver.now)
      guard !driver.arbiter.unreachable.contains(host), driver.arbiter.record.holder?.node == host else { return }
      driver.arbiter.record.holder = nil
      if !grant.wasUsed { driver.arbiter.record.winner = grant.before }
    }
  }
}
