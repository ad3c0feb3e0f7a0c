internal import ControlAPI
internal import DaemonSupport
internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import SystemCalls
internal import TCPModel

/// Why a flow is not in the packet table.
struct TableProblem: Error, CustomStringConvertible {
  let description: String
}

/// Keeps the packet table what it must be, whatever other programs do to the host's ruleset.
///
/// A change by somebody else is noticed in two ways: the kernel tells of it, and the table is looked at once a second. It is then
/// written anew, and every connection whose packets may have passed meanwhile is in doubt (`Doubts`).
final class TableKeeper {
  private let table: PacketTable
  private let loop: EventLoop
  private let logger: Logger
  private var rules: [TableRules]
  private(set) var pairs: [PairFlows] = []
  /// Flows by pair that are to be looked at.
  private var dirty: [String: Set<Flow>] = [:]
  private var work: Deferred?
  private var changes: IOSource?
  private var check: Timer?
  private var complaints = LogThrottle()
  private var isEnding = false
  /// Why the table is not in force; nil when it is.
  private(set) var problem: String? = "it has not been written yet"

  private static let checkInterval: UInt64 = 1_000_000_000
  /// Between two tries to write a table that the kernel did not take, ns.
  private static let retryInterval: UInt64 = 100_000_000

  /// - Parameter owned: whether nobody but this daemon may change the table, where the kernel can see to it (Linux 6.9).
  init(_ rules: [TableRules], owned: Bool, loop: EventLoop, logger: Logger) throws {
    self.rules = rules
    self.loop = loop
    self.logger = logger
    table = try PacketTable(owned: owned)
    pairs = rules.map { PairFlows(pair: $0.pair, keeper: self) }
    work = try loop.addDeferred(priority: LoopPriority.control, description: "flows") { [weak self] in self?.settle() }
    changes = try loop.addIO(
      table.descriptor, .readable, priority: LoopPriority.packets, description: "changes of the ruleset"
    ) { [weak self] _ in self?.noticeChanges() }
    check = try loop.addTimer(priority: LoopPriority.background, description: "check of the packet table") {
      [weak self] in self?.look()
    }
  }

  /// As `GetStatus` shows it.
  var status: PacketTableStatus {
    PacketTableStatus(problem: problem, handover: table.handover?.rawValue, owned: table.isOwned)
  }

  /// Puts the table in force. What an earlier daemon left is replaced in one step and never removed first: its packets are
  /// dropped meanwhile.
  /// - Throws: `PacketTableError`; the daemon cannot protect anything then.
  func begin() throws(PacketTableError) {
    let found = try table.flows()
    for pair in pairs { pair.onFound?(found[pair.pair] ?? []) }
    try write()
    problem = nil
    check?.set(at: MonotonicClock.now + Self.checkInterval)
  }

  func add(_ flow: Flow, to pair: String) throws(TableProblem) {
    if let problem { throw TableProblem(description: "the packet table is not in force: \(problem)") }
    do throws(PacketTableError) {
      try table.change(pair, adding: [flow], removing: [])
    } catch {
      throw TableProblem(description: "\(error)")
    }
  }

  func changed(_ flow: Flow, of pair: String) {
    dirty[pair, default: []].insert(flow)
    work?.schedule()
  }

  /// Brings the table up to date with what the pairs have.
  func settle() {
    guard problem == nil, !isEnding else { return dirty = [:] }
    for pair in pairs {
      guard let flows = dirty.removeValue(forKey: pair.pair) else { continue }
      do throws(PacketTableError) {
        try table.change(pair.pair, adding: flows.filter(pair.wants), removing: flows.filter { !pair.wants($0) })
      } catch {
        return putBack("a change of its flows failed: \(error)")
      }
    }
  }

  func mute(_ pair: String) throws(PacketTableError) {
    guard let index = rules.firstIndex(where: { $0.pair == pair }) else { return }
    rules[index].isMute = true
    try table.setMute(true, pair: pair)
  }

  /// Takes the table out of the kernel: the packets of every connection pass again.
  func remove() {
    isEnding = true
    check?.disarm()
    changes?.cancel()
    do {
      try table.remove()
    } catch {
      logger.error("cannot remove the packet table", metadata: ["error": "\(error)"])
    }
  }

  private func write() throws(PacketTableError) {
    dirty = [:]
    try table.replace(
      with: rules, flows: Dictionary(pairs.map { ($0.pair, $0.all()) }, uniquingKeysWith: { first, _ in first }))
  }

  // MARK: The watch

  private func noticeChanges() {
    switch table.takeChanges() {
    case .none: break
    case .touched: putBack("another program has changed the packet table")
    case .overrun: look()
    }
  }

  private func look() {
    guard !isEnding else { return }
    check?.set(at: MonotonicClock.now + Self.checkInterval)
    guard problem == nil else { return putBack(nil) }
    do throws(PacketTableError) {
      guard try table.isIntact(sample: [:]) else { return putBack("another program has changed the packet table") }
    } catch {
      putBack("the packet table cannot be looked at: \(error)")
    }
  }

  /// Writes the table anew.
  /// - Parameter reason: what has happened; nil for another try.
  private func putBack(_ reason: String?) {
    guard !isEnding else { return }
    let former = problem
    do throws(PacketTableError) {
      try write()
      problem = nil
    } catch {
      problem = "\(error)"
      check?.set(at: MonotonicClock.now + Self.retryInterval)
    }
    // What passed until now nobody has seen.
    let count = pairs.reduce(0) { $0 + ($1.onTouched?(reason ?? "the packet table was not in force") ?? 0) }
    if former != problem {
      if problem == nil { logger.event(.tableInForce, "the packet table is in force again") }
      for pair in pairs { pair.onForce?() }
    }
    if let reason { report(reason, connections: count) }
  }

  private func report(_ reason: String, connections: Int) {
    guard let times = complaints.admit(now: MonotonicClock.now) else { return }
    var metadata: Logger.Metadata = ["reason": "\(reason)", "times": "\(times)", "connections": "\(connections)"]
    if let problem { metadata["error"] = "\(problem)" }
    logger.event(
      .tableChanged, level: problem == nil ? .warning : .error,
      problem == nil
        ? "\(reason); it is back, and \(connections) connections are unprotected until each is known to be true again"
        : "\(reason), and it cannot be written again: \(connections) connections are unprotected", metadata: metadata)
  }
}
