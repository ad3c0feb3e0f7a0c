internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import Replication
internal import SystemCalls
internal import TCPModel

/// Everything that a host does for the connections that it owns: registration, their end, and their silent end when another
/// host owns them.
final class ActiveSide {
  let table: ConnectionTable
  let feed: ReplicationFeed
  let path: PacketPath
  private let sampler: Sampler
  let registrar: Registrar
  private let desk: AdoptionDesk
  private let loop: EventLoop
  private let logger: Logger
  /// Connections that end as at a close, and since when (ns).
  private var ending: [(connection: LiveConnection, since: UInt64)] = []
  private var endings: Timer?
  /// Tells those who monitor what has happened.
  var onEvent: ((EventKind, LiveConnection, String) -> Void)?

  /// The high bits of connection numbers: no two hosts and no two terms of one host share them.
  var epoch: UInt64 = 0
  private(set) var counter: UInt64 = 0
  private let pair: UInt64

  init(
    pair: String, table: ConnectionTable, feed: ReplicationFeed, path: PacketPath, sampler: Sampler, flows: PairFlows,
    desk: AdoptionDesk, loop: EventLoop, logger: Logger
  ) throws(SystemCallError) {
    self.pair = ConnectionNumber.tag(ofPair: pair)
    self.table = table
    self.feed = feed
    self.path = path
    self.sampler = sampler
    self.desk = desk
    self.loop = loop
    self.logger = logger
    registrar = try Registrar(table: table, feed: feed, flows: flows, loop: loop, logger: logger)
    registrar.onRegistered = { [weak self] in
      self?.watch($0)
      self?.onEvent?(.registered, $0, "registered for \($0.ledger.identity.service)")
    }
    endings = try loop.addTimer(priority: LoopPriority.background, description: "endings") { [weak self] in
      self?.checkEndings()
    }
  }

  func register(
    _ socket: SharedDescriptor, flow: Flow, service: String, key: String?,
    retention: ConnectionIdentity.Retention, owner: PeerCredentials,
    completion: @escaping (Result<Registrar.Outcome, RegistrationError>) -> Void
  ) {
    counter += 1
    let identity = ConnectionIdentity(
      id: ConnectionNumber.make(epoch: epoch, pair: pair, count: counter), service: service, key: key,
      retention: retention)
    registrar.register(
      Registrar.Request(socket: socket, flow: flow, identity: identity, owner: owner, completion: completion))
  }

  /// Numbers go on where the daemon before this one stopped.
  func resume(epoch: UInt64, counter: UInt64) {
    self.epoch = epoch
    self.counter = counter
  }

  /// The daemon ends, to start again: registrations that are under way come to nothing.
  func abandonRegistrations() { registrar.abandonAll() }

  /// The standby acknowledged something, or is gone: packets may go, and registrations be answered.
  func standbyMoved() {
    do {
      try path.releaseEgress()
    } catch {
      logger.error("packet verdict failed", metadata: ["error": "\(error)"])
    }
    registrar.reportProtected()
  }

  /// Notices the end of a connection.
  func watch(_ connection: LiveConnection) {
    do {
      // Edge triggered and without events: a hang-up is always reported, and stays so until the socket is closed.
      connection.hangup = try loop.addIO(
        connection.socket.number, .edgeTriggered, priority: LoopPriority.control, description: "protected connection"
      ) { [weak self, weak connection] _ in
        guard let self, let connection else { return }
        endIfClosed(connection)
      }
    } catch {
      logger.error("cannot watch a connection", metadata: ["connection": "\(connection.name)", "error": "\(error)"])
    }
  }

  private func endIfClosed(_ connection: LiveConnection) {
    guard let info = try? TCPInfo(connection.socket.number), info.state == .close else { return }
    // The application has not had all of it: another host must be able to give it the rest, and the end.
    if connection.keepsEnd { return }
    logger.debug("connection ended", metadata: ["connection": "\(connection.name)"])
    onEvent?(.ended, connection, "ended")
    forget(connection)
  }

  /// Nobody holds the socket any more: ends it as the kernel would have at the last close.
  func endAsClosed(_ connection: LiveConnection) {
    connection.isEnding = true
    desk.withdraw(connection)
    do {
      if try SocketEnd.close(connection.socket.number) {
        onEvent?(.ended, connection, "closed with unread input: reset")
        return forget(connection)
      }
      ending.append((connection, MonotonicClock.now))
      endings?.set(at: MonotonicClock.now + Self.endingInterval)
    } catch {
      logger.debug("end", metadata: ["connection": "\(connection.name)", "error": "\(error)"])
      endIfClosed(connection)
    }
  }
  private static let endingInterval: UInt64 = 50_000_000
  /// As long as the kernel keeps an orphan in FIN_WAIT2 (tcp_fin_timeout).
  private static let endingLimit: UInt64 = 60_000_000_000

  /// Once the peer has acknowledged the end there is nothing left to protect; the kernel sees to the rest on its own when the last
  /// descriptor is gone.
  private func checkEndings() {
    let now = MonotonicClock.now
    let all = ending
    ending = []
    for (connection, since) in all where table[connection.id] === connection {
      // It stands still, about to move.
      if connection.stopped != nil {
        ending.append((connection, since))
        continue
      }
      switch (try? TCPInfo(connection.socket.number))?.state {
      case .finWait2, .timeWait, .close, nil:
        onEvent?(.ended, connection, "closed")
        forget(connection)
      case _ where now - since > Self.endingLimit: forget(connection)
      default: ending.append((connection, since))
      }
    }
    if !ending.isEmpty { endings?.set(at: now + Self.endingInterval) }
  }

  /// Takes a connection off this host's hands without a packet, so that it can be built anew. Its ledger stays what it is.
  func withdraw(_ connection: LiveConnection) throws(SystemCallError) {
    connection.hangup?.cancel()
    connection.hangup = nil
    desk.withdraw(connection)
    try RestoredSocket.abandonSilently(connection.socket.number)
  }

  func release(_ connection: LiveConnection, how: HowToRelease) {
    onEvent?(.released, connection, "released: \(how)")
    do {
      switch how {
      case .keep: forget(connection)
      case .close:
        connection.isClosing = true
        table.onChange?(connection)
        try SocketEnd.finish(connection.socket.number)
      case .reset:
        try SocketEnd.reset(connection.socket.number)
        forget(connection)
      }
    } catch {
      // It is not connected any more: its end is under way.
      logger.debug("release", metadata: ["connection": "\(connection.name)", "error": "\(error)"])
      endIfClosed(connection)
    }
  }

  enum HowToRelease {
    case keep
    case close
    case reset
  }

  /// Its flow leaves the packet table: what is left of it (an answer in TIME_WAIT) passes as any other's.
  private func forget(_ connection: LiveConnection) {
    connection.hangup?.cancel()
    connection.hangup = nil
    desk.withdraw(connection)
    if connection.hasteEnds != nil { RestoredSocket.endHaste(connection.socket.number, connection.ledger.options) }
    table.remove(connection)
    feed.source.release(connection.id)
    feed.flush()
  }

  /// Lets every connection go on without protection: the daemon ends and nobody follows.
  func unprotectAll() {
    for connection in table.all { release(connection, how: .keep) }
  }

  /// Stops every socket, and records what it has not sent and what it has taken.
  /// - Parameter meanwhile: called after each.
  func stopAll(meanwhile: () -> Void) {
    let now = MonotonicClock.now
    for connection in table.all {
      do {
        let stopped = try StoppedSocket(stopping: connection.socket.number, after: connection.ledger.output.sndNxt)
        connection.stopped = stopped
        sampler.sample(connection)
        record(stopped, of: connection, now: now)
      } catch {
        // It has ended; what its ledger holds is all that there is.
        logger.debug("cannot stop", metadata: ["connection": "\(connection.name)", "error": "\(error)"])
      }
      meanwhile()
    }
  }

  private func record(_ stopped: StoppedSocket, of connection: LiveConnection, now: UInt64) {
    let ledger = connection.ledger
    var done = 0
    repeat {
      let count = min(stopped.output.count - done, Self.largestRecord)
      let isLast = done + count == stopped.output.count
      var flags: SegmentHeader.Flags = .ack
      if isLast, stopped.hasFinished { flags.insert(.fin) }
      let header = SegmentHeader(
        sequence: stopped.sequence + done, acknowledgement: stopped.rcvNxt,
        window: UInt16(clamping: stopped.receiveWindow >> UInt32(ledger.negotiated.receiveWindowScale)), flags: flags)
      stopped.output[done..<done + count].withUnsafeBytes { payload in
        // Output that has not left and never will from here: the host that goes on sends it.
        feed.source.record(.egress(header, payload, at: now), in: ledger)
      }
      done += count
    } while done < stopped.output.count
  }

  /// Bytes of payload in one record of what was not sent: little enough that over a slow link, too, acknowledgements keep coming.
  private static let largestRecord = 1 << 16

  /// Lets every socket that `stopAll` has stopped go on.
  func resumeAll() {
    for connection in table.all {
      connection.stopped?.resume(connection.socket.number)
      connection.stopped = nil
    }
  }

  /// Another host owns the connections: ends them here without a packet.
  func abandonAll() {
    for connection in table.all {
      connection.hangup?.cancel()
      connection.hangup = nil
      desk.withdraw(connection)
      do {
        try RestoredSocket.abandonSilently(connection.socket.number)
      } catch {
        logger.error(
          "cannot end a connection silently", metadata: ["connection": "\(connection.name)", "error": "\(error)"])
      }
    }
    table.removeAll()
  }
}
