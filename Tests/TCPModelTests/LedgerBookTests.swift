import Modelling
import TCPModel
import Testing

@Suite struct LedgerBookTests {
  private func ledger(id: UInt64, flow: UInt64) -> Ledger {
    var image = ModelConnection(seed: flow, shape: .init(input: 0, output: 0)).baseline
    image.identity.id = id
    return Ledger(image)
  }

  @Test func aLedgerIsFoundByConnectionAndByFlow() {
    var book = LedgerBook()
    let one = ledger(id: 1, flow: 10)
    book.insert(one)
    #expect(book[1] === one)
    #expect(book[one.flow] === one)
    #expect(book.remove(1) === one)
    #expect(book[one.flow] == nil)
    #expect(book.remove(1) == nil)
  }

  /// A port is used again: the earlier connection of the flow is over.
  @Test func aNewConnectionOfAFlowReplacesTheFormer() {
    var book = LedgerBook()
    book.insert(ledger(id: 1, flow: 10))
    let second = ledger(id: 2, flow: 10)
    book.insert(second)
    #expect(book.count == 1)
    #expect(book[1] == nil)
    #expect(book.remove(1) == nil)
    #expect(book[second.flow] === second)
  }

  @Test func aLedgerThatComesAgainReplacesItself() {
    var book = LedgerBook()
    let first = ledger(id: 1, flow: 10)
    book.insert(first)
    let again = ledger(id: 1, flow: 11)
    book.insert(again)
    #expect(book.count == 1)
    #expect(book[first.flow] == nil)
    #expect(book[1] === again)
  }
}
