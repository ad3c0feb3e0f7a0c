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
    #expect((0..<4).map { _ in table.take(for: client) } == [0, 1, 2, 0])
    for _ in 0..<3 { _ = table.note(1, reached: false) }
    #expect((0..<3).map { _ in table.take(for: client) } == [2, 0, 2])
  }

  @Test func theOneWithTheFewestConnectionsIsNext() throws {
    var table = try table(.leastConnections)
    let client = try client(1)
    #expect(Set((0..<3).map { _ in table.take(for: client) }) == [0, 1, 2])
    table.give(back: 1)
    #expect(table.take(for: client) == 1)
    table.give(back: 2)
    table.give(back: 0)
    #expect(Set((0..<2).map { _ in table.take(for: client) }) == [0, 2])
  }

  @Test func aSessionOfTheOtherHostCounts() throws {
    var table = try table(.leastConnections, servers: 2)
    #expect(try table.resume(#require(Endpoint("10.0.0.1:80"))) == 0)
    #expect(try table.resume(#require(Endpoint("10.9.9.9:80"))) == nil)
    #expect(try table.take(for: client(1)) == 1)
  }

  @Test func aHashKeepsClientsWhereTheyAre() throws {
    var table = try table(.sourceHash)
    let before = try (0..<200).map { try table.take(for: client($0)) }
    #expect(try (0..<200).map { try table.take(for: client($0)) } == before)
    // No server is left out, and none has nearly all.
    for index in 0..<3 { #expect((30...110).contains(before.count { $0 == index })) }
    for _ in 0..<3 { _ = table.note(2, reached: false) }
    for (number, former) in before.enumerated() where former != 2 {
      #expect(try table.take(for: client(number)) == former, "a client of a server that is up moved")
    }
  }

  @Test func aServerChangesSidesAfterSoManyChecksInARow() throws {
    var table = try table(.roundRobin, servers: 1)
    #expect(!table.note(0, reached: false) && !table.note(0, reached: false))
    // One success in between, and it begins anew.
    #expect(!table.note(0, reached: true))
    #expect(!table.note(0, reached: false) && !table.note(0, reached: false))
    #expect(table.servers[0].isUp)
    #expect(table.note(0, reached: false))
    #expect(!table.servers[0].isUp)
    #expect(try table.take(for: client(1)) == nil)
    #expect(!table.note(0, reached: true))
    #expect(table.note(0, reached: true))
    #expect(try table.take(for: client(1)) == 0)
  }

  @Test func whoHasJustRefusedIsNotAskedAgain() throws {
    var table = try table(.roundRobin, servers: 2)
    let first = try #require(try table.take(for: client(1)))
    let second = try #require(try table.take(for: client(1), except: [first]))
    #expect(first != second)
    #expect(try table.take(for: client(1), except: [first, second]) == nil)
  }
}
