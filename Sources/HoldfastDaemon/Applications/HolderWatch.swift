internal import ControlAPI
internal import LinuxNetwork
internal import Logging
internal import SystemCalls
internal import SystemPackage

/// Finds out that no application holds a protected connection any more.
///
/// The daemon's own duplicate keeps a socket open, so a close that should end the connection ends nothing, and no event tells of
/// it. This looks whether the descriptor that the application is known to have still refers to the socket, a part of all
/// connections at a time; for those where it does not, it looks through all processes. A socket that is nowhere in two such
/// looks has been closed, or its process is dead. `HolderSchedule` says how soon.
final class HolderWatch {
  /// Nobody holds these any more.
  var onGone: (([LiveConnection]) -> Void)?
  private let connections: () -> [LiveConnection]
  private let logger: Logger
  private var timer: Timer?
  /// Those of this round that are still to be looked at.
  private var round: ArraySlice<LiveConnection> = []
  private var share = 0
  private var suspects: [UInt64: LiveConnection] = [:]
  private var scan: HolderScan?
  /// In the scan at hand.
  private var sought: [UInt64: LiveConnection] = [:]
  private var hasComplained = false

  private let schedule = HolderSchedule()
  private var nextLook: UInt64

  init(loop: EventLoop, logger: Logger, connections: @escaping () -> [LiveConnection]) throws(SystemCallError) {
    self.connections = connections
    self.logger = logger
    nextLook = MonotonicClock.now + schedule.interval
    timer = try loop.addTimer(priority: LoopPriority.background, description: "holders") { [weak self] in self?.tick() }
    timer?.set(at: nextLook)
  }

  private func tick() {
    let now = MonotonicClock.now
    if now >= nextLook {
      look()
      nextLook = now + schedule.interval
    }
    search()
    let isSearching = scan != nil || !suspects.isEmpty
    timer?.set(at: isSearching ? min(nextLook, MonotonicClock.now + schedule.step) : nextLook)
  }

  private func look() {
    if round.isEmpty {
      let all = connections().filter { $0.owner != nil && !$0.isEnding }
      round = all[...]
      share = (all.count + schedule.slices - 1) / schedule.slices
    }
    for connection in round.prefix(share) where connection.owner != nil && !connection.isEnding {
      if let holder = connection.holder, holder.holds(connection.inode) {
        connection.absences = 0
      } else {
        suspects[connection.inode] = connection
      }
    }
    round = round.dropFirst(share)
  }

  private func search() {
    if scan == nil, !suspects.isEmpty {
      sought = suspects
      suspects = [:]
      // What the service manager keeps lies in queues, and in no process's table.
      scan = HolderScan(for: Set(sought.keys), likely: Set(sought.values.compactMap { $0.owner?.process }))
    }
    guard let isDone = scan?.advance(descriptors: schedule.budget), isDone, let result = scan else { return }
    scan = nil
    conclude(result)
  }

  private func conclude(_ result: HolderScan) {
    for (inode, holder) in result.found {
      guard let connection = sought[inode] else { continue }
      connection.absences = 0
      connection.holder = holder
      connection.holderStart = SocketHolders.startTime(of: holder.process)
      connection.delivery = nil
      connection.offer = nil
    }
    let missing = result.missing.compactMap { sought[$0] }.filter { $0.owner != nil && !$0.isEnding }
    sought = [:]
    guard !missing.isEmpty else { return }
    if let blindness = result.blindness {
      if !hasComplained {
        hasComplained = true
        let reason =
          blindness.errno == .permissionDenied || blindness.errno == .notPermitted
          ? "CAP_SYS_PTRACE is missing" : "\(blindness)"
        logger.warning(
          "cannot see who holds the connections: \(reason); one that its application closes ends only by Release")
      }
      return
    }
    hasComplained = false
    var gone: [LiveConnection] = []
    for connection in missing where !connection.isUnderWay {
      connection.absences += 1
      if connection.absences >= schedule.absences {
        gone.append(connection)
      } else {
        suspects[connection.inode] = connection
      }
    }
    if !gone.isEmpty { onGone?(gone) }
  }
}

extension LiveConnection {
  /// The descriptor was sent to an adopter that has not read it yet: it is in no process's table.
  fileprivate var isUnderWay: Bool { delivery?.hasUnreadReplies ?? false }

  /// The process that had it is gone, or dead. Otherwise it has closed its descriptor.
  var isProcessGone: Bool {
    guard let process = holder?.process ?? owner?.process else { return true }
    return SocketHolders.isGone(process, startedAt: holderStart)
  }

  /// It was sent to an adopter that has hung up, and was never seen with it: most likely there was no room for it in that process's
  /// table (MSG_CTRUNC), or it was not read. Whoever has taken it and closed it again still listens for more.
  var wasNotTaken: Bool { delivery?.isGone ?? false }
}
