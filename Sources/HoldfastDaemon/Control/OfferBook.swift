internal import DequeModule
internal import HeapModule

/// Which connections wait for an application of their service, and until when. Every change costs the same however many wait.
struct OfferBook<Item> {
  /// One offer: a connection may be offered again.
  private struct Ticket: Equatable {
    var connection: UInt64
    var number: UInt64
  }
  private struct Offer {
    var item: Item
    var service: String
    var ticket: Ticket
  }
  private struct Due: Comparable {
    var deadline: UInt64
    var service: String
    var ticket: Ticket
    static func < (left: Due, right: Due) -> Bool { left.deadline < right.deadline }
  }

  private var offers: [UInt64: Offer] = [:]
  private var number: UInt64 = 0
  /// In order of arrival. What is not offered any more stays until it comes to the front.
  private var queues: [String: Deque<Ticket>] = [:]
  /// What is not offered any more stays until its deadline.
  private var dues = Heap<Due>()

  var count: Int { offers.count }
  /// When the next offer may end, ns; nil when none waits.
  var nextDeadline: UInt64? { dues.min?.deadline }

  subscript(connection: UInt64) -> Item? { offers[connection]?.item }
  func isEmpty(for service: String) -> Bool { queues[service]?.isEmpty ?? true }

  /// - Parameter deadline: CLOCK_MONOTONIC, ns.
  mutating func add(_ item: Item, of connection: UInt64, for service: String, until deadline: UInt64) {
    number += 1
    let ticket = Ticket(connection: connection, number: number)
    offers[connection] = Offer(item: item, service: service, ticket: ticket)
    queues[service, default: []].append(ticket)
    dues.insert(Due(deadline: deadline, service: service, ticket: ticket))
  }

  mutating func remove(_ connection: UInt64) { offers[connection] = nil }

  /// What has waited longest for a service; it stays.
  mutating func first(for service: String) -> Item? {
    while let ticket = queues[service]?.first {
      if let offer = offers[ticket.connection], offer.ticket == ticket { return offer.item }
      queues[service]?.removeFirst()
    }
    queues[service] = nil
    return nil
  }

  /// Takes out an offer that has ended.
  mutating func popOverdue(at now: UInt64) -> Item? {
    while let due = dues.min, due.deadline <= now {
      dues.removeMin()
      var ended: Item?
      if let offer = offers[due.ticket.connection], offer.ticket == due.ticket {
        offers[due.ticket.connection] = nil
        ended = offer.item
      }
      // Nobody may ever ask for this service.
      _ = first(for: due.service)
      if let ended { return ended }
    }
    return nil
  }
}
