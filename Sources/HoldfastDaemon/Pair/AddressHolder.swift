internal import LinuxNetwork
internal import Logging

/// Holds the service addresses of a pair and tells the neighbours where they are.
final class AddressHolder {
  let addresses: [ServiceAddress]
  private let manager: AddressManager
  private let announcer: Announcer
  private let logger: Logger
  private var timer: Timer?
  private var due: [UInt64] = []
  private var usable: Timer?
  private var onUsable: (() -> Void)?
  private var usableDeadline: UInt64 = 0
  private(set) var isHolding = false

  /// When announcements are repeated, ns after the first: a Linux neighbour ignores an update within a second of the last one
  /// (net.ipv4.neigh.*.locktime), and any of them may be lost.
  private static let schedule: [UInt64] = [
    20_000_000, 100_000_000, 300_000_000, 600_000_000, 1_050_000_000, 1_500_000_000, 3_000_000_000,
  ]

  private static let checkInterval: UInt64 = 500_000
  private static let patience: UInt64 = 100_000_000

  init(_ addresses: [ServiceAddress], manager: AddressManager, announcer: Announcer, loop: EventLoop, logger: Logger)
    throws(SystemCallError)
  {
    self.addresses = addresses
    self.manager = manager
    self.announcer = announcer
    self.logger = logger
    timer = try loop.addTimer(priority: LoopPriority.control, description: "announcements") { [weak self] in
      self?.repeatAnnouncement()
    }
    usable = try loop.addTimer(priority: LoopPriority.heartbeat, description: "addresses") { [weak self] in
      self?.checkUsable()
    }
  }

  /// Adds the addresses to their interfaces and announces them, several times over the next seconds.
  func take() {
    isHolding = true
    for address in addresses {
      report("cannot add the address", address) {
        try manager.add(address)
        logger.event(.addressMoved, "address added", metadata: ["address": "\(address)"])
      }
    }
    announce()
    let now = MonotonicClock.now
    due = Self.schedule.map { now + $0 }
    timer?.set(at: due.first)
  }

  /// The daemon before this one has left the addresses where they are. That they are still this host's to announce is not sure yet.
  func resume() { isHolding = true }

  /// Packets to the addresses are delivered here.
  var areUsable: Bool { addresses.allSatisfy { manager.isLocal($0.address) } }

  /// Calls `body` as soon as packets to the addresses are delivered here, or when they have had time enough.
  func whenUsable(_ body: @escaping () -> Void) {
    onUsable = body
    usableDeadline = MonotonicClock.now + Self.patience
    checkUsable()
  }

  private func checkUsable() {
    guard let body = onUsable else { return }
    let now = MonotonicClock.now
    guard now >= usableDeadline || areUsable else {
      usable?.set(at: now + Self.checkInterval)
      return
    }
    onUsable = nil
    body()
  }

  func drop() {
    onUsable = nil

    let wasHolding = isHolding
    isHolding = false
    timer?.disarm()
    for address in addresses {
      report("cannot remove the address", address) {
        try manager.remove(address)
        if wasHolding { logger.event(.addressMoved, "address removed", metadata: ["address": "\(address)"]) }
      }
    }
  }

  private func announce() {
    for address in addresses {
      report("cannot announce the address", address) { try announcer.announce(address) }
    }
  }

  private func repeatAnnouncement() {
    announce()
    if !due.isEmpty { due.removeFirst() }
    timer?.set(at: due.first)
  }

  private func report(_ message: Logger.Message, _ address: ServiceAddress, _ body: () throws -> Void) {
    do { try body() } catch {
      logger.error(message, metadata: ["address": "\(address)", "error": "\(error)"])
    }
  }
}
