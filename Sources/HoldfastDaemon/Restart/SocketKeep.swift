internal import DaemonSupport
internal import FoundationEssentials
internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import SystemCalls

/// Has the service manager keep every protected connection's socket, at all times, for the next daemon if this one crashes.
///
/// One entry of its store, however many connections there are: the root of a shelf (`DescriptorShelf`). A change costs a few system
/// calls, soon after it, or before an application is told of it (`settle`): what it was told no crash takes back.
final class SocketKeep {
  /// Each daemon's shelf has a name of its own: its predecessor's goes only when its own is there.
  static let prefix = "holdfast-live-"

  /// A pair for which this host is active.
  struct Tenure: Codable, Equatable {
    var version = RestartImage.currentVersion
    var pair: String
    var epoch: UInt64
    /// No connection has a number above it.
    var counter: UInt64
    /// Nobody is behind this host who could go on in its place.
    var isAlone: Bool
  }

  private let shelf: DescriptorShelf
  private let name: String
  private let logger: Logger
  private let encoder = JSONEncoder()
  private var work: Deferred?
  /// What has changed since it was last written down, and whose it is.
  private var changed: [UInt64: Pair] = [:]
  private var queue: [UInt64] = []
  private var tenures: [UInt64: Tenure] = [:]
  private var complaints = LogThrottle()

  private static let perTurn = 64
  /// Numbers that may be given before the tenure is written anew.
  private static let reserve: UInt64 = 1 << 20

  /// - Returns: nil without a service manager.
  static func begin(instance: UInt64, loop: EventLoop, logger: Logger) -> SocketKeep? {
    guard ServiceManager.isPresent else { return nil }
    do {
      return try SocketKeep(instance: instance, loop: loop, logger: logger)
    } catch {
      logger.error(
        "cannot keep the connections for a daemon that crashes", metadata: ["error": "\(error)"])
      return nil
    }
  }

  private init(instance: UInt64, loop: EventLoop, logger: Logger) throws(SystemCallError) {
    self.logger = logger
    name = Self.prefix + String(instance, radix: 16)
    shelf = try DescriptorShelf()
    try ServiceManager.store(shelf.root, name: name)
    work = try loop.addDeferred(priority: LoopPriority.control, description: "socket keep") { [weak self] in
      self?.writeSome()
    }
  }

  /// A connection is there, is not any more, or something of it has changed that its socket does not tell.
  func changed(_ connection: UInt64, of pair: Pair) {
    if changed.updateValue(pair, forKey: connection) == nil { queue.append(connection) }
    work?.schedule()
  }

  /// Writes down now what has changed of a connection.
  func settle(_ connection: UInt64) {
    guard let pair = changed.removeValue(forKey: connection) else { return }
    write(connection, of: pair)
  }

  /// What this host is for a pair may have changed.
  func roleChanged(_ pair: Pair) {
    let key = ConnectionNumber.make(epoch: 0, pair: ConnectionNumber.tag(ofPair: pair.name), count: 0)
    guard pair.machine.role == .active else {
      if tenures.removeValue(forKey: key) != nil {
        shelf.remove(key)
        work?.schedule()
      }
      return
    }
    let counter = pair.active.counter
    if let former = tenures[key], former.epoch == pair.machine.epoch,
      former.isAlone == pair.machine.isAlone, counter + Self.reserve / 2 < former.counter
    {
      return
    }
    let tenure = Tenure(
      pair: pair.name, epoch: pair.machine.epoch, counter: counter + Self.reserve, isAlone: pair.machine.isAlone)
    tenures[key] = tenure
    report { try shelf.put(key, note: try Array(encoder.encode(tenure))) }
    work?.schedule()
  }

  /// An orderly end: nothing is left, or all of it in another way.
  func end() {
    work?.cancel()
    ServiceManager.forget(name)
  }

  private func writeSome() {
    let some = queue.prefix(Self.perTurn)
    queue.removeFirst(some.count)
    for id in some {
      guard let pair = changed.removeValue(forKey: id) else { continue }
      write(id, of: pair)
    }
    report { try shelf.tidy() }
    if !queue.isEmpty { work?.schedule() }
  }

  private func write(_ id: UInt64, of pair: Pair) {
    guard let connection = pair.connection(id) else { return shelf.remove(id) }
    // What was kept before may be of another socket.
    if !report({ try put(connection, of: pair) }) { shelf.remove(id) }
  }

  private func put(_ connection: LiveConnection, of pair: Pair) throws {
    let record = try SocketRecord(connection, pair: pair.name)
    try shelf.put(connection.id, note: record.encoded(by: encoder), descriptor: connection.socket.number)
  }

  @discardableResult
  private func report(_ body: () throws -> Void) -> Bool {
    do {
      try body()
      return true
    } catch {
      if let times = complaints.admit(now: MonotonicClock.now) {
        logger.error(
          "cannot keep connections for a daemon that crashes", metadata: ["error": "\(error)", "times": "\(times)"])
      }
      return false
    }
  }
}
