import Modelling
import Pairing

/// A service that keeps one record and lets one host at a time change it, as etcd does: its own clock decides when a lease has ended.
final class Arbiter {
  private unowned let world: World
  private(set) var record = ArbiterRecord()
  private var leaseEnds: UInt64 = 0
  /// Whom its messages do not reach, and who does not reach it: network and crash alike.
  var isCut: [Bool] = [false, false]
  var isSlow = false

  /// ns.
  static let lease: UInt64 = 1_500_000_000

  init(_ world: World) { self.world = world }

  /// A message on its way to or from a host; it may be lost.
  func carry(_ host: Int, _ arrive: @escaping () -> Void) {
    if isCut[host] || (world.hasFaults && world.random.chance(3)) { return }
    let most = isSlow ? 700_000 : world.random.chance(5) ? 30_000 : 3000
    world.after(nanoseconds: UInt64(world.random.within(100...most)) * 1000, arrive)
  }

  private func expire() { if world.now >= leaseEnds { record.holder = nil } }

  /// - Returns: the answer, and who had won before.
  func ask(
    _ question: PairMachine.Question, by name: String, instance: UInt64
  ) -> (PairMachine.Answer, before: ArbiterRecord.Win?) {
    expire()
    switch record.judge(question, of: name, instance: instance) {
    case .refused(let answer): return (answer, nil)
    case .wins(let win):
      let before = record.winner
      record = ArbiterRecord(winner: win, holder: win)
      leaseEnds = world.now + Self.lease
      return (.granted(epoch: win.epoch), before)
    }
  }

  func renew(by instance: UInt64) -> Bool {
    expire()
    guard record.holder?.instance == instance else { return false }
    leaseEnds = world.now + Self.lease
    return true
  }

  /// - Parameter unused: what was won and not used: it is as if it had not been.
  func giveBack(by instance: UInt64, unused: (epoch: UInt64, before: ArbiterRecord.Win?)?) {
    expire()
    if record.holder?.instance == instance { record.holder = nil }
    if let unused, record.winner?.instance == instance, record.winner?.epoch == unused.epoch {
      record.winner = unused.before
    }
  }
}

/// A host's end of it: what it was granted, and until when it may count on it.
struct Tenure {
  var epoch: UInt64
  var before: ArbiterRecord.Win?
  /// On the host's own clock, ns.
  var until: UInt64
  var wasUsed = false
}
