import LinuxNetwork
import TCPModel
import Testing

@testable import HoldfastProxy

@Suite struct ServerTableTests {
  private func table(_ balance: ProxyConfiguration.Balance, servers: Int = 3) throws -> ServerTable {
    var backend = ProxyConfiguration.Backend(
      name: "b", servers: try (1...servers).map { try #require(Endpoint("10.0.0.\($0):80")) })
    backend.balance = balance
    return ServerTable(backend)
  }

  private func client(_ number: Int) throws -> IPAddress {
    try #require(IPAddress("192.0.2.\(number % 250 + 1)"))
  }

  @Test func roundRobinTakesTurnsAndLeavesOutWhoIsDown() throws {
    var table = try table(.roundRobin)
    let client = try client(1)
    let before = (0..<4).map { _ in table.take(for: client) }
    #expect(before == [0, 1, 2, 0])
    for _ in 0..<3 { _ = table.note(1, reached: false) }
    let after = (0..<3).map { _ in table.take(for: client) }
    #expect(after == [2, 0, 2])
  }

  @Test func theOneWithTheFewestConnectionsIsNext() throws {
    var table = try table(.leastConnections)
    let client = try client(1)
    let first = Set((0..<3).map { _ in table.take(for: client) })
    #expect(first == [0, 1, 2])
    table.give(back: 1)
    let freed = table.take(for: client)
    #expect(freed == 1)
    table.give(back: 2)
    table.give(back: 0)
    let last = Set((0..<2).map { _ in table.take(for: client) })
    #expect(last == [0, 2])
  }

  @Test func aSessionOfTheOtherHostCounts() throws {
    var table = try table(.leastConnections, servers: 2)
    let known = table.resume(try #require(Endpoint("10.0.0.1:80")))
    #expect(known == 0)
    let unknown = table.resume(try #require(Endpoint("10.9.9.9:80")))
    #expect(unknown == nil)
    let next = try table.take(for: client(1))
    #expect(next == 1)
  }

  @Test func aHashKeepsClientsWhereTheyAre() throws {
    var table = try table(.sourceHash)
    let before = try (0..<200).map { try table.take(for: client($0)) }
    let again = try (0..<200).map { try table.take(for: client($0)) }
    #expect(again == before)
    // No server is left out, and none has nearly all.
    for index in 0..<3 { #expect((30...110).contains(before.count { $0 == index })) }
    for _ in 0..<3 { _ = table.note(2, reached: false) }
    for (number, former) in before.enumerated() where former != 2 {
      let now = try table.take(for: client(number))
      #expect(now == former, "a client of a server that is up moved")
    }
  }

  @Test func aServerChangesSidesAfterSoManyChecksInARow() throws {
    var table = try table(.roundRobin, servers: 1)
    // A success among the failures, and counting begins anew.
    let steps: [(reached: Bool, changes: Bool)] = [
      (false, false), (false, false), (true, false), (false, false), (false, false), (false, true), (true, false),
      (false, false), (true, false), (true, true),
    ]
    for (number, step) in steps.enumerated() {
      let changes = table.note(0, reached: step.reached)
      #expect(changes == step.changes, "step \(number)")
      let isTaken = try table.take(for: client(1)) != nil
      #expect(isTaken == table.servers[0].isUp)
      if isTaken { table.give(back: 0) }
    }
    #expect(table.servers[0].isUp)
  }

  @Test func whoHasJustRefusedIsNotAskedAgain() throws {
    var table = try table(.roundRobin, servers: 2)
    let first = try #require(try table.take(for: client(1)))
    let second = try #require(try table.take(for: client(1), except: [first]))
    #expect(first != second)
    let third = try table.take(for: client(1), except: [first, second])
    #expect(third == nil)
  }
}
