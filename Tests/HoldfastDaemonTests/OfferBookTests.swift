import Lab
import Testing

@testable import HoldfastDaemon

/// Against a list that is looked through each time.
@Suite struct OfferBookTests {
  private struct Offer: Equatable {
    var connection: UInt64
    var service: String
    var deadline: UInt64
  }

  @Test(arguments: 0..<40)
  func itIsWhatAListIs(_ seed: UInt64) throws {
    var dice = Dice(seed: seed)
    var book = OfferBook<UInt64>()
    var list: [Offer] = []
    var now: UInt64 = 0
    for _ in 0..<500 {
      let connection = UInt64(dice.pick(1...30))
      let service = ["web", "mail", "sip"][Int(dice.pick(0...2))]
      switch dice.pick(0...9) {
      case 0...3:
        let offer = Offer(connection: connection, service: service, deadline: now + UInt64(dice.pick(0...50)))
        book.add(connection, of: connection, for: service, until: offer.deadline)
        list.removeAll { $0.connection == connection }
        list.append(offer)
      case 4, 5:
        book.remove(connection)
        list.removeAll { $0.connection == connection }
      case 6, 7:
        let first = list.first { $0.service == service }
        #expect(book.first(for: service) == first?.connection)
        if let first {
          book.remove(first.connection)
          list.removeAll { $0 == first }
        }
      default:
        now += UInt64(dice.pick(0...20))
        var ended: Set<UInt64> = []
        while let connection = book.popOverdue(at: now) { #expect(ended.insert(connection).inserted) }
        #expect(ended == Set(list.filter { $0.deadline <= now }.map(\.connection)))
        list.removeAll { $0.deadline <= now }
      }
      #expect(book.count == list.count)
      #expect((1...30).allSatisfy { id in (book[id] == id) == list.contains { $0.connection == id } })
      if let next = list.map(\.deadline).min() { #expect(try #require(book.nextDeadline) <= next) }
    }
    while book.popOverdue(at: .max) != nil {}
    #expect(book.nextDeadline == nil && ["web", "mail", "sip"].allSatisfy { book.isEmpty(for: $0) })
  }
}
