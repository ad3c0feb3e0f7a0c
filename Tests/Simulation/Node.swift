import HostCore
import Modelling
import Pairing
import Replication
import TCPModel

/// One start of one host's daemon, with the sockets of its kernel: everything that is lost when the host dies. It decides nothing: the core
/// does, and here is what its effects come to in virtual time (`Node+Effects`), as the daemon has it in real time.
final class Node {
  unowned let world: World
  let host: Int
  private(set) var instance: UInt64
  var core: Host
  var book = LedgerBook()
  var sockets: [UInt64: HostSocket] = [:]
  /// Begun after a crash, and lacking something yet: no standby is told of them.
  var settling: [UInt64: Ledger] = [:]
  /// What is kept beside each socket.
  var outlines: [UInt64: LedgerImage] = [:]
  /// Packets at the gate, in order.
  var held: [(number: UInt32, packet: Packet)] = []
  var packetNumber: UInt32 = 0

  var serverSession: Session?
  var clientSession: Session?
  /// Whose stream the replica was last synced from.
  weak var replicaSource: Node?
  var replicaInstance: UInt64 = 0
  var clientStream = OutgoingStream()
  var isFollowing = false

  /// What came while the sockets stood still.
  var late: [Packet] = []
  /// Connections of the other host that are being restored, and packets that wait for their sockets.
  var restoration: Restoration?
  var waiting: [Packet] = []
  /// It is stopping, and waits for its connections to move.
  var isEnding = false
  /// Its packets are dropped, in and out: its daemon is about to end and to start again.
  var isMute = false

  /// Its gate has been open since its last standby was synced.
  var hasGoneAlone = false
  /// It has won an epoch and may use it, for all that others know.
  var hasWon = false
  /// What the arbiter has granted.
  var tenure: Tenure?
  /// The cluster manager lets it act alone.
  var isPromoted = false
  /// It has told it to stop at this moment.
  var isDemoted = false
  var wasActive = false
  /// Its replica was complete when the effects at hand began.
  var wasComplete = false

  /// When its daemon ended.
  private var wasAlone = false
  private var standbyWaits: UInt64 = 0

  var isDead = false
  var isPaused = false
  /// When it next decides to go on alone, it stands still before it has said so.
  var isToStandStill = false
  /// What came while it was paused: heartbeats first, as the daemon's loop has it.
  var pausedHeartbeats: [() -> Void] = []
  var pausedRest: [() -> Void] = []
  private var heartbeatSequence: UInt64 = 0
  /// The peer's instance that was heard last, and whether its heartbeats may be from before this daemon's start.
  var heardInstance: UInt64 = 0
  var isPeerUnproven = false
  private var lastTick: UInt64

  /// This host's clock: its own origin, and up to half a percent fast or slow.
  private let origin: UInt64
  private let drift: Int64

  static let names = ["alpha", "beta"]
  var name: String { Self.names[host] }
  var now: UInt64 {
    let time = Int64(world.now)
    return origin + UInt64(time + time / 1000 * drift)
  }

  init(_ world: World, host: Int, instance: UInt64) {
    self.world = world
    self.host = host
    self.instance = instance
    origin = UInt64(world.random.below(1 << 40))
    drift = Int64(world.random.within(-5...5))
    let time = Int64(world.now)
    let now = origin + UInt64(time + time / 1000 * drift)
    lastTick = now
    core = Host(
      PairMachine(world.configuration(of: Self.names[host]), instance: instance, epoch: world.epochs[host], now: now))
  }

  var machine: PairMachine { core.machine }
  var source: ReplicationSource {
    _read { yield core.source }
    _modify { yield &core.source }
  }
  var replica: Replica { core.leader.replica }

  /// What is kept for the next daemon besides the sockets.
  func noteEnd(standbyWaits patience: UInt64 = 0) {
    wasAlone = machine.isAlone
    standbyWaits = patience == 0 ? 0 : now + patience / 10 * 9
  }

  private var behind: PairMachine.Behind { wasAlone ? .nobody : now < standbyWaits ? .patientStandby : .standby }

  /// Another daemon goes on where this one's machine ended.
  func renew(_ instance: UInt64) {
    self.instance = instance
    heartbeatSequence = 0
    lastTick = now
    // It has said that it does.
    if machine.replication == .exposed { hasGoneAlone = true }
    core = Host(
      PairMachine(
        world.configuration(of: name), instance: instance, resuming: machine.epoch,
        behind: world.scenario.sabotage == .heirForgotten ? .nobody : behind, now: now))
  }

  /// Runs now, or when the node runs again; never on a node that is gone.
  func whenRunning(isHeartbeat: Bool = false, _ run: @escaping () -> Void) {
    if isDead { return }
    guard isPaused else { return run() }
    // A socket's buffer has an end; what comes first stays.
    if isHeartbeat, pausedHeartbeats.count < 300 { pausedHeartbeats.append(run) }
    if !isHeartbeat, pausedRest.count < 2000 { pausedRest.append(run) }
  }

  // MARK: Time

  func start() {
    tickAgain()
    world.after(milliseconds: 1...20) { [weak self] in self?.actAgain() }
  }

  private func tickAgain() {
    guard !isDead else { return }
    if !isPaused { tick() }
    world.after(nanoseconds: World.interval) { [weak self] in self?.tickAgain() }
  }

  func tick() {
    let observed = min(now - lastTick, 2 * World.interval)
    lastTick = now
    watchLease()
    handle(.links(isReachable: !world.unreachable.contains(host)))
    handle(.tick(observed: observed))
  }

  func resume() {
    isPaused = false
    let heartbeats = pausedHeartbeats
    let rest = pausedRest
    pausedHeartbeats = []
    pausedRest = []
    for run in heartbeats { run() }
    tick()
    for run in rest { whenRunning(run) }
  }

  // MARK: Heartbeats

  func sendHeartbeat() {
    guard !isPaused else { return }
    heartbeatSequence += 1
    var heartbeat = machine.heartbeat(sequence: heartbeatSequence)
    heartbeat.echo = heardInstance
    world.carry(heartbeat, from: self)
  }

  func hear(_ heartbeat: Heartbeat, on path: Int) {
    var heartbeat = heartbeat
    heardInstance = heartbeat.instance
    // As `HeartbeatFilter` has it.
    if isPeerUnproven {
      guard heartbeat.echo == instance else { return handle(.rumour(heartbeat)) }
      isPeerUnproven = false
    }
    if world.scenario.sabotage == .epochNotCompared, machine.role == .active { heartbeat.epoch = 0 }
    handle(.heartbeat(path: path, heartbeat))
  }

  func register(_ connection: Connection) {
    let ledger = Ledger(connection.baseline(now: now))
    sockets[connection.number] = HostSocket(
      una: 0, nxt: 0, rcvNxt: 0, read: 0, offeredEdge: Connection.window,
      clock: TimestampClock(value: connection.stamp, moment: now, unit: .milliseconds))
    outlines[connection.number] = ledger.outline
    book.insert(ledger)
    _ = source.register(ledger, now: now)
    flush()
  }

  func release(_ connection: UInt64) {
    sockets[connection] = nil
    settling[connection] = nil
    outlines[connection] = nil
    if book.remove(connection) != nil { source.release(connection) }
  }
}
