internal import DequeModule
internal import LinuxNetwork
internal import SystemCalls
internal import TCPModel

/// Brings restored connections and the applications that wait for them together, a few in one turn of the loop.
///
/// A connection that nobody takes within the time limit is reset: its peer learns at once that nobody is there.
final class AdoptionDesk {
  /// An application that waits for connections of a service.
  final class Adopter {
    let service: String
    /// Hands one connection over; false when the application is gone.
    let deliver: (LiveConnection) -> Bool
    init(service: String, deliver: @escaping (LiveConnection) -> Bool) {
      self.service = service
      self.deliver = deliver
    }
  }

  /// By service; first the one that has waited longest since its last connection, so that several instances of an application share.
  private var adopters: [String: Deque<Adopter>] = [:]
  private var offers = OfferBook<LiveConnection>()
  /// Services for which a connection and an adopter may be there.
  private var matchable: Set<String> = []
  private var timer: Timer?
  private var work: Deferred?
  /// Nobody came for this connection.
  var onUnclaimed: ((LiveConnection) -> Void)?

  /// Connections that are handed out, or end unclaimed, in one turn.
  private static let perTurn = 32

  init(loop: EventLoop) throws(SystemCallError) {
    timer = try loop.addTimer(priority: LoopPriority.control, description: "adoption") { [weak self] in self?.expire() }
    work = try loop.addDeferred(priority: LoopPriority.control, description: "handing out") { [weak self] in
      self?.match()
    }
  }

  /// A connection that was offered before, and came back without having been seen in a process, has what is left of that time.
  /// - Parameter patience: ns to wait for an application.
  func offer(_ connection: LiveConnection, patience: UInt64) {
    let now = MonotonicClock.now
    let offer =
      connection.offer ?? LiveConnection.Offer(deadline: now + patience, isOrphan: connection.isOrphan)
    connection.offer = offer
    let service = connection.ledger.identity.service
    offers.add(connection, of: connection.id, for: service, until: offer.deadline)
    arm()
    if now < offer.deadline { matchSoon(service) }
  }

  func wait(_ adopter: Adopter) {
    adopters[adopter.service, default: []].append(adopter)
    matchSoon(adopter.service)
  }

  func leave(_ adopter: Adopter) {
    adopters[adopter.service]?.removeAll { $0 === adopter }
    if adopters[adopter.service]?.isEmpty == true { adopters[adopter.service] = nil }
  }

  func isOffering(_ connection: LiveConnection) -> Bool { offers[connection.id] === connection }

  /// The connection ended, or the host no longer owns it.
  func withdraw(_ connection: LiveConnection) {
    if isOffering(connection) { offers.remove(connection.id) }
  }

  private func matchSoon(_ service: String) {
    guard adopters[service] != nil, !offers.isEmpty(for: service) else { return }
    matchable.insert(service)
    work?.schedule()
  }

  private func match() {
    var budget = Self.perTurn
    while budget > 0, let service = matchable.first {
      guard let connection = offers.first(for: service), deliver(connection) else {
        matchable.remove(service)
        continue
      }
      withdraw(connection)
      budget -= 1
    }
    if !matchable.isEmpty { work?.schedule() }
  }

  private func deliver(_ connection: LiveConnection) -> Bool {
    let service = connection.ledger.identity.service
    for adopter in adopters[service] ?? [] where adopter.deliver(connection) {
      // One that was hung up on for what it was sent has left.
      if let place = adopters[service]?.firstIndex(where: { $0 === adopter }) {
        adopters[service]?.remove(at: place)
        adopters[service]?.append(adopter)
      }
      return true
    }
    return false
  }

  private func arm() {
    if let next = offers.nextDeadline { timer?.set(at: next) } else { timer?.disarm() }
  }

  private func expire() {
    let now = MonotonicClock.now
    for _ in 0..<Self.perTurn {
      guard let connection = offers.popOverdue(at: now) else { break }
      onUnclaimed?(connection)
    }
    arm()
  }
}
