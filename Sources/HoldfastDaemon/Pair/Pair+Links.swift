internal import ControlAPI
internal import HostConfiguration
internal import HostCore
internal import Logging
internal import Pairing
internal import SystemCalls

/// How clients reach the two hosts of a pair: each watches its own links and witnesses, and says so in its heartbeats.
extension Pair {
  /// What the journal has been told.
  struct LinkJournal {
    var own = ChangeJournal<LinkWatch.Problem?>(nil)
    var peer = ChangeJournal(true)
  }

  /// - Parameter observed: ns since the last look in which this host ran.
  func lookAtLinks(_ observed: UInt64) {
    let now = MonotonicClock.now
    if let links {
      let wasReachable = links.problem == nil
      links.look(observed: observed, now: now)
      let isReachable = links.problem == nil
      if isReachable != wasReachable { handle(.links(isReachable: isReachable)) }
      if linkJournal.own.admit(links.problem, now: now) { report(links.problem) }
    }
    if let isReachable = machine.isPeerReachable, linkJournal.peer.admit(isReachable, now: now) {
      reportPeer(isReachable)
    }
  }

  private func report(_ problem: LinkWatch.Problem?) {
    if let problem {
      logger.event(
        .linkLost, level: .warning, "clients cannot reach this host at the service addresses",
        metadata: ["reason": "\(problem)"])
    } else {
      logger.event(.linkFound, "clients can reach this host at the service addresses again")
    }
    onEvent?(.links, problem.map { "clients cannot reach this host: \($0)" } ?? "clients can reach this host again")
  }

  private func reportPeer(_ isReachable: Bool) {
    let peer = peerName ?? "the other host"
    let isReached = isReachable ? "can reach \(peer) again" : "cannot reach \(peer)"
    logger.event(
      isReachable ? .peerLinkFound : .peerLinkLost, level: isReachable ? .notice : .warning,
      "clients \(isReached) at the service addresses", metadata: ["peer": "\(peer)"])
    onEvent?(.links, "clients \(isReached)")
  }

  /// The machine moves the pair by itself.
  func movesToReachable(_ node: String) {
    moveReason =
      switch links?.problem {
      case .witnesses: "no witness answers here, and clients can reach \(node)"
      case .link, nil: "the link of the service addresses is down here and up on \(node)"
      }
  }

  /// Why the connections do not move to the other host, where something that it has said speaks against it.
  var unfitness: ControlError? {
    let peer = peerName ?? "the other host"
    return switch machine.peerUnfitness {
    case .unreachable:
      .peerUnfit(
        pair: name,
        reason: "clients cannot reach \(peer) at the service addresses: its link is down, or no witness answers there")
    case .tableMissing: .peerUnfit(pair: name, reason: "the packet table of \(peer) is not in force")
    case nil: nil
    }
  }
}
