internal import DaemonSupport
internal import HostConfiguration
internal import HostCore
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import Replication
internal import SystemCalls
internal import TCPModel

/// The daemon ends and starts again, and its connections do not notice more than a pause.
///
/// First the packet table drops all packets instead of queueing them, so that the kernel does not count as sent what does not
/// leave. What the queues hold is recorded, and leaves when the standby has it; then the ledgers are what the sockets are, and
/// stay so until the next daemon's table is in force. Applications may go on reading and writing meanwhile; both can be seen in
/// the sockets afterwards.
extension Pair {
  /// - Parameter completion: called once: whether this host has connections to leave to the next daemon. If not, the pair has ended
  ///   as for a stop.
  func prepareRestart(completion: @escaping (Bool) -> Void) {
    guard feed.host.isSteady else {
      return stop { completion(false) }
    }
    handle(.restart)
    do {
      try flows.mute()
      try path.drain()
    } catch {
      logger.error("cannot stop the packets", metadata: ["error": "\(error)"])
      return stop { completion(false) }
    }
    onRestartReady = completion
    handle(.muted)
  }

  func restartReady(isKept: Bool) {
    guard let completion = onRestartReady else { return }
    onRestartReady = nil
    if isKept {
      active.standbyMoved()
      active.abandonRegistrations()
    }
    completion(isKept)
  }

  /// What the next daemon needs of this pair; nothing may happen to it any more.
  var restartImage: RestartImage.Pair {
    // A processor that was on its way through the former rules may have queued one more packet.
    do { try path.drain() } catch { logger.error("packet queue failed", metadata: ["error": "\(error)"]) }
    let waiting = Set(unoffered.map(\.connection.id))
    return RestartImage.Pair(
      name: name, epoch: machine.epoch, counter: active.counter,
      connections: table.all.map { connection in
        RestartImage.Connection(
          connection, isOffered: waiting.contains(connection.id) || desk.isOffering(connection))
      },
      wasAlone: machine.isAlone,
      // The last heartbeats are still to be sent; clocks run at different speeds.
      standbyWaits: MonotonicClock.now + machine.configuration.restartPatience / 10 * 9)
  }

  /// Says once more, on every path, that this host is about to be silent: a heartbeat can be lost.
  func announceRestart() { for _ in 0..<3 { sendHeartbeat() } }

  // MARK: The next daemon

  /// Goes on with what the daemon before this one has left. No packet has passed since, and none passes before `start`.
  func resume(_ image: RestartImage.Pair, sockets: some Sequence<SharedDescriptor>) {
    guard machine.isResumed else {
      for socket in sockets { try? RestoredSocket.abandonSilently(socket.number) }
      return logger.warning("the connections of the daemon before this one are of an earlier epoch: they end")
    }
    active.resume(epoch: image.epoch, counter: image.counter)
    holder.resume()
    for (connection, socket) in zip(image.connections, sockets) {
      do {
        guard let ledger = connection.ledger else { continue }
        let live = try LiveConnection(resuming: connection, Ledger(ledger, gap: connection.gap), socket: socket)
        table.insert(live)
        guard connection.isOffered else { continue }
        // Nobody can go on without the state that its process before had left.
        if live.ledger.gap?.losesInput ?? false { live.isEnding = true } else { unoffered.append((live, adoptTimeout)) }
      } catch {
        logger.debug("the connection has ended", metadata: ["error": "\(error)"])
      }
    }
    logger.event(
      .resumed, "goes on with the connections of the daemon before this one",
      metadata: ["role": "active", "epoch": "\(image.epoch)", "connections": "\(table.count)"])
  }

  /// The queues are read and the packet table is in force: catches up with what happened meanwhile.
  func catchUp() {
    guard machine.isResumed else { return }
    offering?.schedule()
    for connection in table.all {
      active.watch(connection)
      if connection.isEnding { active.endAsClosed(connection) }
      sampler.inputArrived(connection)
    }
    askPeers()
  }

  /// The host may go on with what was left, and the addresses are its own: after a crash they were taken off.
  func takeBack() {
    let hadAddresses = holder.areUsable
    holder.take()
    if !hadAddresses { holder.whenUsable { [weak self] in self?.askPeers() } }
  }

  /// Both sides may wait for what was dropped.
  private func askPeers() {
    ask(table.all)
    askAgain(after: Self.firstQuestion)
  }

  /// A ledger that was begun after a crash waits for an answer; a question may be lost, or come too soon after another
  /// (tcp_invalid_ratelimit at the peer).
  private func askAgain(after interval: UInt64) {
    guard table.all.contains(where: \.awaitsPeer) else { return }
    questionInterval = interval
    questions?.set(at: MonotonicClock.now + interval)
  }

  /// Ledgers were begun anew while their connections go on: what traffic does not tell in a moment the peers are asked.
  func askSoon() { askAgain(after: Self.promptQuestion) }

  func askOnceMore() {
    guard machine.role == .active else { return }
    ask(table.all.filter(\.awaitsPeer))
    askAgain(after: min(2 * questionInterval, Self.lastQuestion))
  }
  private static let firstQuestion: UInt64 = 600_000_000
  private static let promptQuestion: UInt64 = 50_000_000
  private static let lastQuestion: UInt64 = 20_000_000_000

  private func ask(_ connections: some Sequence<LiveConnection>) {
    for connection in connections {
      do {
        try LiveProbe.send(on: connection.socket.number)
      } catch {
        logger.debug("cannot ask a peer", metadata: ["connection": "\(connection.name)", "error": "\(error)"])
      }
    }
  }
}

extension RestartImage.Connection {
  init(_ connection: LiveConnection, isOffered: Bool) {
    self.init(
      counters: connection.counters, owner: connection.owner, holder: connection.holder,
      holderStart: connection.holderStart, isOrphan: connection.isOrphan, isClosing: connection.isClosing,
      isEnding: connection.isEnding, isOffered: isOffered, isHasty: connection.hasteEnds != nil,
      gap: connection.ledger.gap, ledger: connection.ledger.image)
  }
}
