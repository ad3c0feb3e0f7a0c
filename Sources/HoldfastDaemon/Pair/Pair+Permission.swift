internal import Logging
internal import Pairing

/// Asking before this host acts alone.
extension Pair {
  func ask(_ question: PairMachine.Question) {
    handle(.answer(to: question.number, .unavailable(reason: "there is nobody to ask")))
  }

  func notPermitted(_ purpose: PairMachine.Purpose, _ reason: String) {
    logger.warning("this host does not act alone", metadata: ["reason": "\(reason)"])
  }
}
