import HostCore
import Pairing

/// Asking before acting alone, as the daemon does.
extension Node {
  /// For how long an answer is waited for, ns.
  private static let askPatience: UInt64 = 300_000_000
  /// How much earlier than the arbiter a host takes its lease for ended, ns: its clock may be slow.
  private static let leaseMargin: UInt64 = 100_000_000

  func ask(_ question: PairMachine.Question) {
    if world.manager != nil { return askForPromotion(question) }
    guard let arbiter = world.arbiter else { return violateUnasked(question) }
    var isOver = false
    let instance = instance
    let asked = now
    func answer(_ answer: PairMachine.Answer, _ before: ArbiterRecord.Win?) {
      whenRunning { [weak self] in
        guard let self, !isDead, self.instance == instance else { return }
        if case .granted(let epoch) = answer, !isOver || tenure == nil {
          tenure = Tenure(epoch: epoch, before: before, until: asked + Arbiter.lease - Self.leaseMargin)
        }
        // What was won and comes too late is given back.
        guard !isOver else { return settleTenure() }
        isOver = true
        handle(.answer(to: question.number, answer))
      }
    }
    world.after(nanoseconds: Self.askPatience) { answer(.unavailable(reason: "no answer"), nil) }
    arbiter.carry(host) { [weak self] in
      guard let self, self.instance == instance else { return }
      let (reply, before) = arbiter.ask(question, by: name, instance: instance)
      if case .granted = reply { hasWon = true }
      arbiter.carry(host) { answer(reply, before) }
    }
  }

  /// As `ExternalArbiter` does.
  private func askForPromotion(_ question: PairMachine.Question) {
    let answer =
      isPromoted ? PairMachine.Answer.granted(epoch: question.epoch) : .refused(reason: "this host is not promoted")
    handle(.answer(to: question.number, answer))
  }

  private func violateUnasked(_ question: PairMachine.Question) {
    world.violate("\(name) asks to \(question.purpose), and there is nobody to ask")
  }

  /// With every tick: the lease is renewed, or has ended.
  func watchLease() {
    guard let arbiter = world.arbiter, let held = tenure, machine.speaksAlone else { return }
    if now >= held.until, world.scenario.sabotage != .leaseNotWatched {
      tenure = nil
      return handle(.permissionEnded)
    }
    let asked = now
    arbiter.carry(host) { [weak self] in
      guard let self, arbiter.renew(by: instance) else { return }
      arbiter.carry(host) { [weak self] in
        self?.whenRunning { [weak self] in self?.tenure?.until = asked + Arbiter.lease - Self.leaseMargin }
      }
    }
  }

  /// It has won an epoch that it is not in.
  var isWinnerUnheard: Bool {
    world.arbiter?.record.winner.map { $0.node == name && $0.epoch > machine.epoch } ?? false
  }

  /// What was won and is not needed is free for the other host.
  func settleTenure() {
    guard let arbiter = world.arbiter, let held = tenure else { return }
    guard !machine.speaksAlone else {
      tenure?.wasUsed = true
      return
    }
    tenure = nil
    let instance = instance
    arbiter.carry(host) { [weak self] in
      arbiter.giveBack(by: instance, unused: held.wasUsed ? nil : (held.epoch, held.before))
      // It may have won again before this came.
      self?.hasWon = self?.isWinnerUnheard ?? false
    }
  }
}
