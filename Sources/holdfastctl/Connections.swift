internal import ArgumentParser
internal import ControlAPI
internal import Holdfast

struct Connections: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lists the registered connections.",
    discussion: """
      RECEIVED, CONSUMED and SENT are bytes of the stream since registration; UNACKED is output that the peer has not \
      acknowledged, LAG what the standby has not, in bytes. OFFSET is what the connection's TCP timestamps add to this host's \
      clock, and its unit. Below the table stands why connections cannot be protected as they are.
      """)

  @OptionGroup var daemon: DaemonOptions
  @Flag(name: .shortAndLong, help: "Print JSON.") var json = false
  @Option(help: "Only those of this pair.") var pair: String?
  @Option(help: "Only those of this service.") var service: String?

  func run() throws {
    let connections = try daemon.call { (client) throws(HoldfastError) in
      try client.connections(pair: pair, service: service)
    }
    if json { return try printJSON(ListConnectionsReply(connections: connections)) }
    print(Self.table(connections))
  }

  static func table(_ connections: [ConnectionInfo]) -> String {
    var table = Table([
      .left("ID"), .left("PEER"), .left("SERVICE"), .left("STATE"), .right("RECEIVED"), .right("CONSUMED"),
      .right("SENT"), .right("UNACKED"), .right("LAG"), .right("OFFSET"), .left("UNIT"), .left("PROTECTED"),
    ])
    for connection in connections {
      let hasTimestamps = connection.timestampUnit != .none
      table.append([
        connection.id, connection.peer, connection.service, connection.tcpState, "\(connection.received)",
        "\(connection.consumed)", "\(connection.sent)", "\(connection.unacknowledged)", "\(connection.replicaLag)",
        hasTimestamps ? "\(connection.timestampOffset)" : "-",
        hasTimestamps ? connection.timestampUnit.rawValue : "-", connection.protected ? "yes" : "no",
      ])
    }
    let obstacles = connections.compactMap { connection in connection.obstacle.map { "\(connection.id): \($0)" } }
    return ([table.description] + obstacles).joined(separator: "\n")
  }
}
