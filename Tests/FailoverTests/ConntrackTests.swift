import Glibc
import Lab
import Testing

/// Firewalls that know connections: what has moved is established there, too.
@Suite(.serialized)
struct ConntrackTests {
  /// A firewall's rules, for iptables(8).
  enum Firewall: String, CaseIterable, CustomTestStringConvertible {
    case oneRule = "one ESTABLISHED rule"
    case strict = "all is dropped that is neither established nor opens a connection"
    var testDescription: String { rawValue }

    fileprivate var rules: [[String]] {
      let established = ["-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT"]
      switch self {
      case .oneRule: return [established]
      case .strict:
        return [
          established, ["-A", "INPUT", "-i", "lo", "-j", "ACCEPT"], ["-A", "INPUT", "-i", "rep0", "-j", "ACCEPT"],
          ["-A", "INPUT", "-p", "udp", "--dport", "7412", "-j", "ACCEPT"],
          ["-A", "INPUT", "-p", "tcp", "--syn", "--dport", "7000:7004", "-j", "ACCEPT"],
          ["-P", "INPUT", "DROP"],
        ]
      }
    }
  }

  private struct Measured {
    var pause: Double
    var insertFailed: Int
  }

  /// A crash under requests and answers.
  private func crash(_ firewall: Firewall?) throws -> Measured {
    var failover = Failover(shape: .pingpong, connections: 20)
    var failed = 0
    failover.prepare = { topology in
      guard let firewall else { return }
      for host in HostName.allCases { try topology.addRules(firewall.rules, on: host) }
    }
    failover.afterTakeover = { pair, client in
      try pair.waitForProgress(client)
      guard firewall != nil else { return }
      failed = try pair.topology.conntrackCount("insert_failed", on: .beta)
    }
    let outcome = try expectUnbroken(failover, firewall?.rawValue ?? "no firewall")
    return Measured(pause: Double(outcome.report.longestStall) / 1e6, insertFailed: failed)
  }

  @Test(arguments: Firewall.allCases)
  func thePauseIsAsLongAsWithout(firewall: Firewall) throws {
    let without = try crash(nil)
    let with = try crash(firewall)
    print("longest pause \(Int(without.pause)) ms without a firewall, \(Int(with.pause)) ms with \(firewall.rawValue)")
    #expect(with.insertFailed == 0)
    // A lost answer costs a second more.
    #expect(with.pause < 1.5 * without.pause + 400)
  }
}
