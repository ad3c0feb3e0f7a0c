internal import DequeModule
internal import HeapModule

/// Which connections wait for an application of their service, and until when. Every change costs the same however many wait.
struct OfferBook {
  private struct Offer: Equatable {
    var connection: UInt64
    var service: String
    var deadline: UInt64
    /// Tells it from an earlier one of the same connection.
    var number: UInt64
  }
  private struct Due: Comparable {
    var offer: Offer
    var deadline: UInt64 { offer.deadline }
    static func < (left: Due, right: Due) -> Bool { left.deadline < right.deadline }
  }

  private var offers: [UInt64: Offer] = [:]
  private var number: UInt64 = 0
  /// In order of arrival. What is not offered any more stays until it comes to the front.
  private var queues: [String: Deque<Offer>] = [:]
  /// What is not offered any more stays until its deadline.
  private var dues = Heap<Due>()

  var count: Int { offers.count }
  /// When the next offer may end, ns; nil when none waits.
  var nextDeadline: UInt64? { dues.min?.deadline }

  func contains(_ connection: UInt64) -> Bool { offers[connection] != nil }
  func isEmpty(for service: String) -> Bool { queues[service]?.isEmpty ?? true }

  /// - Parameter deadline: CLOCK_MONOTONIC, ns.
  mutating func add(_ connection: UInt64, for service: String, until deadline: UInt64) {
    number += 1
    let offer = Offer(connection: connection, service: service, deadline: deadline, number: number)
    offers[connection] = offer
    queues[service, default: []].append(offer)
    dues.insert(Due(offer: offer))
  }

  mutating func remove(_ connection: UInt64) { offers[connection] = nil }

  /// The connection of a service that has waited longest; it stays.
  mutating func first(for service: String) -> UInt64? {
    while let offer = queues[service]?.first {
      if offers[offer.connection] == offer { return offer.connection }
      queues[service]?.removeFirst()
    }
    queues[service] = nil
    return nil
  }

  /// Takes out an offer that has ended.
  mutating func popOverdue(at now: UInt64) -> UInt64? {
    while let due = dues.min, due.deadline <= now {
      dues.removeMin()
      let isOffered = offers[due.offer.connection] == due.offer
      if isOffered { offers[due.offer.connection] = nil }
      // Nobody may ever ask for this service.
      _ = first(for: due.offer.service)
      if isOffered { return due.offer.connection }
    }
    return nil
  }
}
