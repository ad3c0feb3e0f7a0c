internal import ControlAPI
internal import HostConfiguration
internal import HostCore
internal import Pairing
internal import Replication
internal import SystemCalls
internal import TCPModel

extension Pair {
  /// As `GetStatus` shows it.
  var status: PairStatus {
    let now = MonotonicClock.now
    return PairStatus(
      name: name, role: RoleName(machine.role), replication: replicationState, epoch: Int(machine.epoch),
      peer: peerName,
      addresses: configuration.addresses.map { "\($0)" }, connections: table.count,
      protected: table.all.reduce(0) { $0 + (isProtected($1) ? 1 : 0) },
      ledgers: feed.host.leader.replica.ledgers.count,
      security: configuration.replication.security == .none ? .none : .tls,
      refusedConnections: server?.refused ?? 0,
      rejectedHeartbeats: RejectedHeartbeats(
        malformed: heartbeats.rejected.malformed, forged: heartbeats.rejected.forged,
        replayed: heartbeats.rejected.replayed, reflected: heartbeats.rejected.reflected),
      refusedPackets: RefusedPackets(
        malformed: Int(clamping: path.refused), badChecksum: Int(clamping: path.badChecksums),
        overruns: Int(clamping: path.overruns)),
      denial: denial, arbiterProblem: arbiter?.problem,
      reachable: links.map { $0.problem == nil }, linkProblem: links?.problem.map { "\($0)" },
      peerReachable: machine.isPeerReachable,
      heartbeatPaths: configuration.heartbeat.paths.enumerated().map { index, path in
        let heard = machine.lastHeard(path: index)
        return HeartbeatPath(
          local: "\(path.local)", peer: "\(path.peer)", alive: machine.isAlive(path: index, now: now),
          lastHeardMilliseconds: heard.map { Int((now - min($0, now)) / 1_000_000) })
      },
      addressStates: holder.status)
  }

  private var replicationState: ReplicationState {
    switch machine.role {
    case .active:
      switch feed.source.phase {
      // What is still being restored the standby has yet to get.
      case .synced: !feed.host.isTakingOver ? .synced : .syncing
      case .syncing: .syncing
      case .detached: feed.source.gate.isOpen ? .exposed : .waiting
      }
    case .standby:
      if feed.host.leader.replica.isComplete {
        client?.isAttached ?? false ? .synced : .stale
      } else {
        client?.isAttached ?? false ? .syncing : .waiting
      }
    case .starting, .fenced: .waiting
    }
  }

  /// The standby could continue this connection now.
  func isProtected(_ connection: LiveConnection) -> Bool {
    feed.source.phase == .synced && connection.doubt == nil && connection.ledger.obstacle == nil
      && (connection.baselinePosition ?? 0) <= feed.source.acknowledged
  }

  /// What a standby that follows has yet to confirm of a connection.
  private func pending(_ connection: LiveConnection) -> String? {
    guard feed.source.phase != .detached, (connection.baselinePosition ?? 0) > feed.source.acknowledged else {
      return nil
    }
    return "the standby has not confirmed yet that it knows the connection as it is now"
  }

  /// As `ListConnections` shows them: live ones where this host owns them, ledgers on a standby.
  var connectionInfos: [ConnectionInfo] {
    guard machine.role == .standby else {
      let lag = Int(feed.source.lag)
      return table.all.map {
        ConnectionInfo(
          $0.ledger, pair: name, live: $0, protected: isProtected($0), lag: lag, pending: pending($0))
      }
    }
    guard let client else { return [] }
    let current = client.isAttached && feed.host.leader.replica.isComplete
    return feed.host.leader.replica.ledgers.all.map {
      ConnectionInfo($0, pair: name, live: nil, protected: current && $0.obstacle == nil, lag: 0)
    }
  }

  /// One line for the service manager.
  var summary: String {
    let connections = machine.role == .active ? table.count : feed.host.leader.replica.ledgers.count
    return "\(machine.role) for \(name) (\(connections) connections, \(replicationState))"
  }
}

extension RoleName {
  init(_ role: Role) {
    switch role {
    case .starting: self = .starting
    case .active: self = .active
    case .standby: self = .standby
    case .fenced: self = .fenced
    }
  }
}
