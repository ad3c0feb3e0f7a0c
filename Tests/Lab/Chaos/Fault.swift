internal import Glibc

/// One thing that goes wrong in the hosts of a chaos run, and is mended after a while. Each of them is something that the pair
/// promises to survive while it is synced.
public enum Fault: String, CaseIterable, Sendable {
  case activeHostDies = "active host dies"
  case standbyHostDies = "standby host dies"
  case activeDaemonDies = "active daemon dies, its host lives"
  case standbyDaemonDies = "standby daemon dies"
  case activePauses = "active daemon stands still"
  case standbyPauses = "standby daemon stands still"
  case eitherPausesLong = "a daemon stands still for more than 20 s"
  case linkToStandby = "replication link cut towards the standby"
  case linkToActive = "replication link cut towards the active host"
  case link = "replication link cut"
  case heartbeatsToStandby = "LAN heartbeats cut towards the standby"
  case heartbeatsToActive = "LAN heartbeats cut towards the active host"
  case heartbeats = "LAN heartbeats cut"
  case clientsToActive = "LAN cut towards the active host"
  case clientsFromActive = "LAN cut from the active host"
  case clients = "LAN cable of the active host pulled"
  case partition = "the hosts cut off from each other"
  case partitionToActive = "the active host hears nothing from the other"
  case partitionToStandby = "the standby hears nothing from the other"
  case linkThenDeath = "replication link cut, then the active host dies"
  case activeRestarts = "active daemon restarted in order"
  case standbyRestarts = "standby daemon restarted in order"
  case switchover = "switchover"
  case channelResets = "replication connection reset"
  case applicationDies = "application on the active host dies"
  case activeCrashesInPlace = "active daemon crashes, its service manager starts it again at once"
  case etcdGone = "etcd gone for a while"
  case etcdGoneThenDeath = "etcd gone, then the active host dies"
  case rulesetFlushed = "ruleset flushed on a host"
  case rulesetFlushedThenDeath = "ruleset flushed on a host, then the active host dies"
  case tableDamaged = "packet table damaged"
  case tableDamagedThenDeath = "packet table damaged, then the active host dies"
  case addressRemoved = "service address removed"
  case activeLinkDown = "LAN link of the active host down"
  case standbyLinkDown = "LAN link of the standby down"
  case bothLinksDown = "LAN links of both hosts down"
  case activeLinkFlaps = "LAN link of the active host flaps"
  case eitherLinkFlaps = "LAN link of either host flaps"

  /// How often it comes up, against the others.
  var weight: UInt64 {
    switch self {
    case .activeHostDies, .switchover, .activeCrashesInPlace, .rulesetFlushedThenDeath: 4
    case .activePauses, .link, .standbyHostDies, .activeDaemonDies: 2
    case .eitherPausesLong: 1
    default: 2
    }
  }

  /// Whether a pair promises to survive it. With `allow` and no arbiter two hosts of which neither hears the other both act, and a
  /// standby that does not hear the active host cannot know that that one has gone on alone.
  func isCovered(by setting: ChaosEra.Setting) -> Bool {
    switch self {
    case .partition, .partitionToStandby: setting.policy == "hold" || setting.hasEtcd
    case .linkThenDeath: setting.policy == "hold"
    default: (!needsEtcd || setting.hasEtcd) && !(needsTableWithoutOwner && setting.ownsTable)
    }
  }

  /// The kernel lets nobody touch a table that has an owner.
  var needsTableWithoutOwner: Bool { self == .tableDamaged || self == .tableDamagedThenDeath }

  var needsEtcd: Bool { self == .etcdGone || self == .etcdGoneThenDeath }

  /// For how long it lasts before it is mended, ms.
  var duration: ClosedRange<UInt64> {
    switch self {
    case .activeHostDies, .standbyHostDies, .activeDaemonDies, .standbyDaemonDies, .linkThenDeath,
      .rulesetFlushedThenDeath, .tableDamagedThenDeath:
      0...6000
    case .eitherPausesLong: 21_000...26_000
    // RestartSec= in the unit, and what the stop hook takes; a service manager that keeps the sockets need not be so quick.
    case .activeCrashesInPlace: 100...3000
    case .activeRestarts, .standbyRestarts, .switchover, .channelResets, .applicationDies,
      .rulesetFlushed, .tableDamaged, .addressRemoved, .activeLinkFlaps, .eitherLinkFlaps:
      0...1000
    default: 50...7000
    }
  }
}

extension ChaosEra {
  /// Has it go wrong.
  /// - Returns: what mends it.
  func begin(_ fault: Fault) throws -> () throws -> Void {
    let active = active
    let standby = active.other
    switch fault {
    case .activeHostDies: return try die(active)
    case .standbyHostDies: return try die(standby)
    case .linkThenDeath:
      let mend = try cut([(standby, .link), (active, .link)])
      try pass(dice.pick(0...5000))
      let revive = try die(active)
      return {
        try mend()
        try revive()
      }
    case .activeDaemonDies: return try killDaemon(active)
    case .standbyDaemonDies: return try killDaemon(standby)
    case .activePauses: return pause(active)
    case .standbyPauses: return pause(standby)
    case .eitherPausesLong: return pause(dice.falls(0.6) ? active : standby)
    case .linkToStandby: return try cut([(standby, .link)])
    case .linkToActive: return try cut([(active, .link)])
    case .link: return try cut([(standby, .link), (active, .link)])
    case .heartbeatsToStandby: return try cut([(standby, .heartbeats)])
    case .heartbeatsToActive: return try cut([(active, .heartbeats)])
    case .heartbeats: return try cut([(standby, .heartbeats), (active, .heartbeats)])
    case .partition: return try cut([standby, active].flatMap { [($0, .link), ($0, .heartbeats)] })
    case .partitionToActive: return try cut([(active, .link), (active, .heartbeats)])
    case .partitionToStandby: return try cut([(standby, .link), (standby, .heartbeats)])
    case .clientsToActive: return try pair.topology.cutLAN(of: active, [.towards])
    case .clientsFromActive: return try pair.topology.cutLAN(of: active, [.from])
    case .clients: return try pair.topology.cutLAN(of: active, [.towards, .from])
    case .activeRestarts: return try restart(active)
    case .standbyRestarts: return try restart(standby)
    case .switchover:
      try pair[active].switchOver()
      return {}
    case .channelResets:
      try pair.topology.resetReplication(on: dice.falls(0.5) ? active : standby)
      return {}
    case .applicationDies:
      pair.server(on: active)?.kill()
      return { [self] in try startServer(on: active) }
    case .activeCrashesInPlace:
      try crashDaemon(active)
      return { [self] in try startDaemon(on: active) }
    case .rulesetFlushed, .tableDamaged, .rulesetFlushedThenDeath, .tableDamagedThenDeath, .addressRemoved,
      .activeLinkDown, .standbyLinkDown, .bothLinksDown, .activeLinkFlaps, .eitherLinkFlaps:
      return try beginOnHost(fault)
    case .etcdGone: return try loseEtcd()
    case .etcdGoneThenDeath:
      let mend = try loseEtcd()
      try pass(dice.pick(0...3000))
      let revive = try die(active)
      // While the host is back and etcd is not, the two of them are enough.
      let isEtcdFirst = dice.falls(0.5)
      return {
        if isEtcdFirst { try mend() }
        try revive()
        if !isEtcdFirst { try mend() }
      }
    }
  }

  func die(_ host: HostName) throws -> () throws -> Void {
    try pair.topology.crash(host)
    pair[host].manager?.forgetAll()
    return { [self] in
      try pair.topology.revive(host)
      try startDaemon(on: host)
      try startServer(on: host)
    }
  }

  /// Its service manager's stop hook takes the addresses off the host.
  private func crashDaemon(_ host: HostName) throws {
    pair[host].process?.kill()
    try pair[host].process?.wait(until: .seconds(10))
    try pair[host].fence()
  }

  /// Later the daemon is started again.
  private func killDaemon(_ host: HostName) throws -> () throws -> Void {
    try crashDaemon(host)
    let applicationDies = dice.falls(0.5)
    return { [self] in
      if applicationDies { pair.server(on: host)?.kill() }
      try startDaemon(on: host)
      if applicationDies { try startServer(on: host) }
    }
  }

  private func restart(_ host: HostName) throws -> () throws -> Void {
    pair[host].process?.signal(SIGTERM)
    guard try pair[host].process?.wait(until: .seconds(30)) == 0 else {
      throw LabError("\(host)'s daemon ended with an error")
    }
    return { [self] in try startDaemon(on: host) }
  }

  private func pause(_ host: HostName) -> () throws -> Void {
    let process = pair[host].process
    process?.signal(SIGSTOP)
    return { process?.signal(SIGCONT) }
  }

  /// It dies, stands still, or a host cannot reach it.
  private func loseEtcd() throws -> () throws -> Void {
    guard let etcd else { throw LabError("these hosts have no etcd") }
    switch dice.pick(0...2) {
    case 0:
      etcd.kill()
      return { try etcd.start() }
    case 1:
      etcd.process?.signal(SIGSTOP)
      return { etcd.process?.signal(SIGCONT) }
    default:
      let topology = pair.topology
      let hosts = dice.falls(0.5) ? HostName.allCases : [dice.falls(0.5) ? active : active.other]
      for host in hosts { try topology.drop(on: host, "-p", "tcp", "--sport", "\(EtcdHost.port)") }
      return { for host in hosts { try topology.accept(on: host, "-p", "tcp", "--sport", "\(EtcdHost.port)") } }
    }
  }

  private enum Way {
    case link
    case heartbeats
  }

  /// Has hosts hear nothing over a way to the other one.
  private func cut(_ ways: [(listener: HostName, way: Way)]) throws -> () throws -> Void {
    let topology = pair.topology
    for (host, way) in ways {
      switch way {
      case .link: try topology.drop(on: host, "-i", "rep0")
      case .heartbeats: try topology.drop(on: host, "-i", "eth0", "-p", "udp", "--dport", "7412")
      }
    }
    return {
      for (host, way) in ways {
        switch way {
        case .link: try topology.accept(on: host, "-i", "rep0")
        case .heartbeats: try topology.accept(on: host, "-i", "eth0", "-p", "udp", "--dport", "7412")
        }
      }
    }
  }
}
