internal import ControlAPI
internal import HostConfiguration
internal import HostCore
internal import Logging
internal import Pairing
internal import SystemCalls

/// What a cluster manager asks for, where it decides who is active (`arbiter = "external"`).
extension Pair {
  /// How long a host that hears an active one waits for that to go, ns: less than holdfastctl waits for an answer.
  private static let promotionPatience: UInt64 = 8_000_000_000

  private var manager: ExternalArbiter? { arbiter as? ExternalArbiter }
  private static let unmanaged = ControlError.notPromoted(
    reason: "its configuration does not say arbiter = \"external\": the hosts decide themselves")

  /// - Parameter completion: called once, when this host is active, or with the reason why it is not.
  func promote(completion: @escaping (Result<Void, ControlError>) -> Void) {
    guard let manager else { return completion(.failure(Self.unmanaged)) }
    manager.isPromoted = true
    logger.event(.promoted, "promoted by the cluster manager")
    promotions.append(completion)
    promotionTimer?.set(at: MonotonicClock.now + Self.promotionPatience)
    handle(.promoted)
  }

  /// - Parameter completion: called when nothing leaves this host any more and the addresses are gone.
  func demote(completion: @escaping (Result<Void, ControlError>) -> Void) {
    guard let manager else { return completion(.failure(Self.unmanaged)) }
    manager.isPromoted = false
    logger.event(.demoted, "demoted by the cluster manager")
    failPromotions("the cluster manager has demoted this host")
    guard machine.role == .active else { return completion(.success(())) }
    guard machine.replication == .synced, feed.host.isSteady else {
      handle(.demoted)
      return completion(.success(()))
    }
    // The standby holds everything, and goes on when it is promoted.
    var isOver = false
    onHandedOver = {
      isOver = true
      completion(.success(()))
    }
    switchovers.append { [weak self] result in
      guard !isOver, case .failure = result else { return }
      isOver = true
      self?.onHandedOver = nil
      self?.handle(.demoted)
      completion(.success(()))
    }
    handle(.switchover)
  }

  /// After every event.
  func settlePromotion() {
    guard let manager else { return }
    manager.follow(isActive: machine.role == .active)
    guard machine.role == .active, !promotions.isEmpty else { return }
    promotionTimer?.disarm()
    let waiting = promotions
    promotions = []
    for completion in waiting { completion(.success(())) }
  }

  func promotionTimedOut() {
    manager?.isPromoted = false
    failPromotions(
      machine.isActiveSilent ? denial ?? "this host does not come to it" : "the other host is active: demote it first")
  }

  private func failPromotions(_ reason: String) {
    promotionTimer?.disarm()
    let waiting = promotions
    promotions = []
    for completion in waiting { completion(.failure(.notPromoted(reason: reason))) }
  }
}
