import HostCore
import Modelling
import Pairing
import Replication
import TCPModel

/// The active host's daemon crashes, and the service manager has its sockets. Nothing is drained and nobody was asked to wait; the
/// ledgers are gone, and what was on its way through the daemon with them. The next daemon goes on where the sockets are.
extension Node {
  /// It may stand still at that moment: a watchdog ends it then.
  func crash() {
    let isKept = machine.role == .active
    noteEnd()
    world.note(self, "crashes")
    world.end(self, hostDies: false)
    // Before the standby notices, or when it has gone on long since. What was kept may be lost, too.
    world.after(milliseconds: world.random.chance(50) ? 60...190 : 150...3000) { [world, self] in
      isKept && !world.random.chance(5) ? world.resume(self, afterCrash: true) : world.start(host)
    }
  }

  /// No packet passes while nobody runs, whatever the kernel counts as sent. Applications go on with what is in their sockets.
  func surviveCrash() {
    settling = [:]
    book.removeAll()
    heardInstance = 0
    isPeerUnproven = true
    for (id, socket) in sockets.sorted(by: { $0.key < $1.key }) {
      guard let connection = world.connections[id], !connection.isOver, let outline = outlines[id] else {
        sockets[id] = nil
        continue
      }
      var socket = socket
      socket.isReadUnrecorded = false
      if socket.rcvNxt > socket.read, world.random.chance(50) {
        socket.read += world.random.within(1...socket.rcvNxt - socket.read)
      }
      if world.random.chance(50) {
        socket.nxt += min(max(0, socket.una + socket.clientWindow - socket.nxt), world.random.within(1...200))
      }
      sockets[id] = socket
      begin(connection, socket, outline)
    }
  }

  /// A ledger that begins where the socket is.
  private func begin(_ connection: Connection, _ socket: HostSocket, _ outline: LedgerImage) {
    let survey = LedgerSurvey(
      sndNxt: connection.hostOrigin + socket.nxt, finSent: false, sent: Int64(socket.nxt),
      rcvNxt: connection.clientOrigin + socket.rcvNxt, finReceived: false, consumed: Int64(socket.read),
      unread: connection.bytes(socket.read..<socket.rcvNxt, toClient: false), sendWindow: UInt32(socket.clientWindow),
      timestamp: TimestampClock(value: socket.stamp(now), moment: now, unit: socket.clock.unit),
      options: SocketOptions())
    let (image, gap) = outline.begun(at: survey, wasAdopted: true, hadCheckpoint: false, cause: .daemonCrash)
    connection.lacksSince = connection.lacksSince ?? instance
    guard world.scenario.sabotage != .gapNotWaitedFor else {
      book.insert(Ledger(image))
      return
    }
    settling[connection.number] = Ledger(image, gap: gap)
  }

  /// Of every connection that is here, told to a standby or not.
  func ledger(_ connection: UInt64) -> Ledger? { book[connection] ?? settling[connection] }

  /// A packet was folded: the ledger may be complete now, and goes to the standby. Packets that follow wait until it is there.
  func settle(_ connection: UInt64) {
    guard let ledger = settling[connection], ledger.gap == nil else { return }
    settling[connection] = nil
    book.insert(ledger)
    _ = source.register(ledger, now: now)
    world.outcome.settled += 1
  }
}

extension HostSocket {
  /// TSval of a packet that leaves now.
  func stamp(_ now: UInt64) -> UInt32 {
    clock.value &+ UInt32(truncatingIfNeeded: (now - clock.moment) / clock.unit.nanosecondsPerTick)
  }
}
