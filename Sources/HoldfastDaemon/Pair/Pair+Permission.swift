internal import HostConfiguration
internal import HostCore
internal import LinuxNetwork
internal import Logging
internal import Pairing

/// Asking before this host acts alone.
extension Pair {
  /// nil where nobody is asked: with the policy to hold and no arbiter this host never acts alone.
  static func arbiter(
    _ configuration: Configuration.Pair, node: String, instance: UInt64, links: LinkWatch?, loop: EventLoop,
    logger: Logger
  ) throws -> (any Arbiter)? {
    switch configuration.solo.arbiter {
    case .none: configuration.solo.policy == .allow ? try NetworkLook(configuration, links: links, loop: loop) : nil
    case .external: ExternalArbiter()
    case .etcd(let etcd):
      try EtcdArbiter(
        etcd, pair: configuration.name, node: node, instance: instance, loop: loop, logger: logger)
    }
  }

  func connectArbiter() {
    arbiter?.onPermissionEnded = { [weak self] in
      guard let self else { return }
      logger.event(
        .permissionEnded, level: .error,
        "the lease has ended: nothing leaves until a standby follows or it is had again",
        metadata: ["epoch": "\(machine.epoch)", "reason": "\(arbiter?.problem ?? "it was not renewed in time")"])
      handle(.permissionEnded)
    }
    arbiter?.onProblem = { [weak self] problem in
      if let problem {
        self?.logger.event(
          .arbiterLost, level: .warning, "the arbiter cannot be asked", metadata: ["reason": "\(problem)"])
      } else {
        self?.logger.event(.arbiterFound, "the arbiter answers")
      }
    }
  }

  /// A standby is there that may have to go on in the place of the daemon that crashed on this host. It does not while this host's
  /// kernel answers for the addresses, and a host that starts has no use for them.
  func withdrawLeftovers(_ heartbeat: Heartbeat) {
    guard mayHaveLeftovers, machine.role == .starting, heartbeat.role == .standby else { return }
    mayHaveLeftovers = false
    holder.drop()
  }

  func ask(_ question: PairMachine.Question) {
    guard let arbiter else {
      return handle(.answer(to: question.number, .unavailable(reason: "there is nobody to ask")))
    }
    arbiter.ask(question) { [weak self] answer in self?.handle(.answer(to: question.number, answer)) }
  }

  /// Said once for each reason, and again when it was permitted meanwhile.
  func notPermitted(_ purpose: PairMachine.Purpose, _ reason: String) {
    guard denial != reason else { return }
    denial = reason
    let what =
      switch purpose {
      case .begin: "this host does not begin alone"
      case .takeOver: "this host does not take over"
      case .goAlone: "this host does not go on without a standby"
      }
    logger.event(
      .notPermitted, level: .error, "\(what)", metadata: ["reason": "\(reason)", "epoch": "\(machine.epoch)"])
  }

  /// After every event.
  func settlePermission() {
    arbiter?.speaksAlone(machine.speaksAlone)
    settlePromotion()
    // The refusal that status shows is over: this host acts alone after all, or has a standby, or hears the active host.
    if machine.speaksAlone || machine.replication == .synced || machine.isAlive { denial = nil }
  }
}

extension PairMachine {
  /// A standby that hears its active host has nothing to ask for.
  fileprivate var isAlive: Bool { role == .standby && !isActiveSilent }
}
