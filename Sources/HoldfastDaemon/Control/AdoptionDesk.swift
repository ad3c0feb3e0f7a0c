internal import LinuxNetwork
internal import SystemCalls
internal import TCPModel

/// Brings restored connections and the applications that wait for them together.
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

  private var adopters: [Adopter] = []
  private var offers: [(connection: LiveConnection, deadline: UInt64)] = []
  private var timer: Timer?
  /// Nobody came for this connection.
  var onUnclaimed: ((LiveConnection) -> Void)?

  init(loop: EventLoop) throws(SystemCallError) {
    timer = try loop.addTimer(priority: LoopPriority.control, description: "adoption") { [weak self] in self?.expire() }
  }

  /// A connection that was offered before, and came back without having been seen in a process, has what is left of that time.
  /// - Parameter patience: ns to wait for an application.
  func offer(_ connection: LiveConnection, patience: UInt64) {
    let now = MonotonicClock.now
    let offer =
      connection.offer ?? LiveConnection.Offer(deadline: now + patience, isOrphan: connection.isOrphan)
    connection.offer = offer
    if now < offer.deadline, deliver(connection) { return }
    offers.append((connection, offer.deadline))
    arm()
  }

  func wait(_ adopter: Adopter) {
    adopters.append(adopter)
    let mine = offers.filter { $0.connection.ledger.identity.service == adopter.service }
    for (connection, _) in mine where adopter.deliver(connection) {
      offers.removeAll { $0.connection === connection }
    }
    arm()
  }

  func leave(_ adopter: Adopter) { adopters.removeAll { $0 === adopter } }

  func isOffering(_ connection: LiveConnection) -> Bool { offers.contains { $0.connection === connection } }

  /// The connection ended, or the host no longer owns it.
  func withdraw(_ connection: LiveConnection) { offers.removeAll { $0.connection === connection } }

  private func deliver(_ connection: LiveConnection) -> Bool {
    // The one that has waited longest since its last connection, so that several instances of an application share.
    for (index, adopter) in adopters.enumerated() where adopter.service == connection.ledger.identity.service {
      guard adopter.deliver(connection) else { continue }
      adopters.append(adopters.remove(at: index))
      return true
    }
    return false
  }

  private func arm() {
    if let next = offers.lazy.map(\.deadline).min() { timer?.set(at: next) } else { timer?.disarm() }
  }

  private func expire() {
    let now = MonotonicClock.now
    let overdue = offers.filter { $0.deadline <= now }
    offers.removeAll { $0.deadline <= now }
    for (connection, _) in overdue { onUnclaimed?(connection) }
    arm()
  }
}
