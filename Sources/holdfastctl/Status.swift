internal import ArgumentParser
internal import ControlAPI
internal import Holdfast

struct Status: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Shows the pairs: role, replication, heartbeats.")

  @OptionGroup var daemon: DaemonOptions
  @Flag(name: .shortAndLong, help: "Print JSON.") var json = false
  @Argument(help: "Only this pair.") var pair: String?

  func run() throws {
    let status = try daemon.call { (client) throws(HoldfastError) in
      var status = try client.status()
      if let pair {
        status.pairs.removeAll { $0.name != pair }
        if status.pairs.isEmpty { throw .refused(.noSuchPair(pair: pair)) }
      }
      return status
    }
    if json { return try printJSON(status) }
    print("node \(status.node)")
    if let problem = status.configurationProblem {
      print("  configuration: RUNS WITH THE LAST GOOD ONE; the file cannot be used: \(problem)")
    }
    for pair in status.pairs { print(Self.text(pair)) }
  }

  static func text(_ pair: PairStatus) -> String {
    var lines = [
      "", "pair \(pair.name): \(pair.role), \(pair.replication)", "  epoch       \(pair.epoch)",
      "  peer        \(pair.peer ?? "not heard yet")",
      "  addresses   \(pair.addresses.joined(separator: ", "))",
    ]
    switch pair.role {
    case .standby: lines.append("  ledgers     \(pair.ledgers)")
    default: lines.append("  connections \(pair.connections), \(pair.protected) protected")
    }
    switch pair.security {
    case .tls: lines.append("  security    tls")
    case .none:
      lines.append("  security    NONE: whoever reaches the replication link can read and change the connections")
    }
    if let reason = pair.denial { lines.append("  not alone   \(reason)") }
    if let problem = pair.arbiterProblem { lines.append("  arbiter     cannot be asked: \(problem)") }
    if pair.refusedConnections > 0 { lines.append("  refused     \(pair.refusedConnections) replication connections") }
    let rejected = pair.rejectedHeartbeats
    if rejected.total > 0 {
      lines.append(
        "  ignored     \(rejected.forged) forged, \(rejected.replayed) old, \(rejected.reflected) own and "
          + "\(rejected.malformed) malformed heartbeats")
    }
    for path in pair.heartbeatPaths {
      let heard = path.lastHeardMilliseconds.map { "heard \($0) ms ago" } ?? "never heard"
      lines.append("  heartbeat   \(path.local) - \(path.peer)  \(path.alive ? "alive" : "silent"), \(heard)")
    }
    return lines.joined(separator: "\n")
  }
}
