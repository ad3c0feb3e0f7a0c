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
    if let table = status.packetTable { print(Self.text(table)) }
    if let problem = status.configurationProblem {
      print("  configuration: RUNS WITH THE LAST GOOD ONE; the file cannot be used: \(problem)")
    }
    for pair in status.pairs { print(Self.text(pair)) }
  }

  static func text(_ table: PacketTableStatus) -> String {
    if let problem = table.problem {
      return "packet table NOT IN FORCE, no connection is protected: \(problem)"
    }
    let owner = table.owned ? "nobody else can change it" : "watched: other programs can change it"
    return "packet table in force (\(table.handover ?? "unknown")), \(owner)"
  }

  static func text(_ pair: PairStatus) -> String {
    var lines = [
      "", "pair \(pair.name): \(pair.role), \(pair.replication)", "  epoch       \(pair.epoch)",
      "  peer        \(pair.peer ?? "not heard yet")",
    ]
    lines += pair.addressStates.map { "  address     \(text($0, of: pair.role))" }
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
    if let line = links(pair) { lines.append("  clients     \(line)") }
    if pair.refusedConnections > 0 { lines.append("  refused     \(pair.refusedConnections) replication connections") }
    let rejected = pair.rejectedHeartbeats
    if rejected.total > 0 {
      lines.append(
        "  ignored     \(rejected.forged) forged, \(rejected.replayed) old, \(rejected.reflected) own and "
          + "\(rejected.malformed) malformed heartbeats")
    }
    if let refused = pair.refusedPackets, refused.total > 0 {
      lines.append(
        "  packets     \(refused.malformed) malformed, \(refused.badChecksum) with a bad checksum, queue overrun "
          + "\(refused.overruns) times")
    }
    for path in pair.heartbeatPaths {
      let heard = path.lastHeardMilliseconds.map { "heard \($0) ms ago" } ?? "never heard"
      lines.append("  heartbeat   \(path.local) - \(path.peer)  \(path.alive ? "alive" : "silent"), \(heard)")
    }
    return lines.joined(separator: "\n")
  }

  /// Where an address is, and in capitals where it is not what the role makes one expect.
  private static func text(_ state: AddressStatus, of role: RoleName) -> String {
    let place =
      switch (role, state.present) {
      case (.active, true): "here"
      case (.active, false): "NOT HERE"
      case (.standby, true), (.fenced, true): "HERE, beside the active host"
      case (.starting, true): "here"
      case (.starting, false), (.standby, false), (.fenced, false): "not here"
      }
    return "\(state.address): \(place)" + (state.problem.map { ", \($0)" } ?? "")
  }

  /// Which of the hosts clients can reach.
  private static func links(_ pair: PairStatus) -> String? {
    let own = pair.reachable.map {
      $0 ? "reach this host" : "cannot reach this host (\(pair.linkProblem ?? "unknown"))"
    }
    let peer = pair.peerReachable.map { ($0 ? "reach " : "cannot reach ") + (pair.peer ?? "the other host") }
    let parts = [own, peer].compactMap { $0 }
    return parts.isEmpty ? nil : parts.joined(separator: "; ")
  }
}
