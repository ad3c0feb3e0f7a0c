internal import HostConfiguration
internal import LinuxNetwork
internal import SystemCalls
internal import TCPModel

/// Whether clients can reach this host at a pair's service addresses, as far as the host can know: the links of the addresses carry
/// packets, and of the witnesses, where some are named, one answers.
final class LinkWatch {
  enum Problem: Hashable, CustomStringConvertible {
    case link(String)
    case witnesses([IPAddress])

    var description: String {
      switch self {
      case .link(let problem): problem
      case .witnesses(let silent): "no witness answers: \(silent.map { "\($0)" }.joined(separator: ", "))"
      }
    }
  }

  private let interfaces: [String]
  private let probe: LinkProbe
  private var witnesses: WitnessWatch?

  /// Since when all links have been up, as far as somebody looked, CLOCK_MONOTONIC, ns; nil while one is not. Those that are up at the
  /// first look have been so for long.
  private var upSince: UInt64? = 0

  /// nil while clients can reach this host.
  private(set) var problem: Problem?

  /// - Throws: `SystemCallError` when there is no socket to be had.
  init(_ configuration: Configuration.Pair) throws(SystemCallError) {
    interfaces = Set(configuration.addresses.map(\.interface)).sorted()
    probe = try LinkProbe()
    if !configuration.witnesses.isEmpty {
      witnesses = WitnessWatch(
        configuration.witnesses, onLinksOf: configuration.addresses, patience: configuration.linkDownAfter)
    }
  }

  /// To be called once in a tick.
  /// - Parameter observed: ns since the last look in which this host ran.
  func look(observed: UInt64, now: UInt64) {
    // Asked in any case: a link that comes back is no reason to take the silence before for an answer.
    let silent = witnesses?.look(observed: observed, now: now)
    problem = linkProblem(now: now).map { .link($0) } ?? silent.map { .witnesses($0) }
  }

  /// Why somebody who is there might not be seen through the links at this moment.
  func blindness(now: UInt64) -> String? {
    if let problem = linkProblem(now: now) { return problem }
    guard let upSince, now < upSince + Self.trialTime else { return nil }
    return "the link of the service addresses came up \((now - upSince).inMilliseconds) ms ago"
  }

  /// How long a link has to be up before what nobody answers counts, ns: the other end of the link, and the ports of a switch, take
  /// a moment to come up, too.
  private static let trialTime: UInt64 = 1_000_000_000

  /// What is wrong with one of the links. A kernel that does not say knows nothing against it.
  private func linkProblem(now: UInt64) -> String? {
    for interface in interfaces {
      if let state = try? probe.state(of: interface), let problem = state.problem(of: interface) {
        upSince = nil
        return problem
      }
    }
    if upSince == nil { upSince = now }
    return nil
  }
}
