internal import Pairing

/// A cluster manager as a pair's arbiter: this host acts alone from when it is promoted to when it is demoted, or stops being
/// active.
final class ExternalArbiter: Arbiter {
  var isPromoted = false
  private var wasActive = false

  let asks = PairMachine.Asks.arbiter
  let problem: String? = nil
  var onPermissionEnded: (() -> Void)?
  var onProblem: ((String?) -> Void)?

  func start() {}
  func stop() {}
  func speaksAlone(_ alone: Bool) {}

  func ask(_ question: PairMachine.Question, completion: @escaping (PairMachine.Answer) -> Void) {
    completion(
      isPromoted
        ? .granted(epoch: question.epoch) : .refused(reason: "the cluster manager has not promoted this host"))
  }

  /// A host that was active and is not any more has to be promoted again.
  func follow(isActive: Bool) {
    if wasActive, !isActive { isPromoted = false }
    wasActive = isActive
  }
}
