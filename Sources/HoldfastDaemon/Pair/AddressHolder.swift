internal import ControlAPI
internal import DaemonSupport
internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import SystemCalls

/// Holds the service addresses of a pair and tells the neighbours where they are.
final class AddressHolder {
  let addresses: [ServiceAddress]
  private let manager: AddressManager
  private let announcer: Announcer
  private let logger: Logger
  private let guardian: AddressGuard
  private var timer: Timer?
  private var schedule: AnnouncementSchedule
  private var failures = LogThrottle()
  private var ear: PeerEar
  private var usable: Timer?
  private var onUsable: (() -> Void)?
  private var usableDeadline: UInt64 = 0
  private(set) var isHolding = false
  /// The addresses were taken by this daemon, and not only left by the one before it.
  private var hasTaken = false
  /// An address cannot be put back here, with the reason; again every 10 s while that lasts.
  var onCannotHold: ((String) -> Void)?

  private static let checkInterval: UInt64 = 500_000
  private static let patience: UInt64 = 100_000_000

  /// - Parameters:
  ///   - feed: notices of changes; nil when nobody else is to be reckoned with.
  ///   - refresh: between two announcements when nothing happens, ns; 0 for none.
  ///   - peerSilence: after a silence of so long the peer may have been active meanwhile, ns.
  init(
    _ addresses: [ServiceAddress], manager: AddressManager, announcer: Announcer, feed: AddressFeed? = nil,
    refresh: UInt64 = 0, peerSilence: UInt64 = 1_000_000_000, loop: EventLoop, logger: Logger
  ) throws(SystemCallError) {
    self.addresses = addresses
    self.manager = manager
    self.announcer = announcer
    self.logger = logger
    schedule = AnnouncementSchedule(refresh: refresh)
    ear = PeerEar(silence: peerSilence)
    guardian = try AddressGuard(addresses, manager: manager, feed: feed, loop: loop, logger: logger)
    timer = try loop.addTimer(priority: LoopPriority.control, description: "announcements") { [weak self] in
      self?.repeatAnnouncement()
    }
    usable = try loop.addTimer(priority: LoopPriority.heartbeat, description: "addresses") { [weak self] in
      self?.checkUsable()
    }
    guardian.onReturn = { [weak self] in self?.announceAnew() }
    guardian.onCannotHold = { [weak self] in self?.onCannotHold?($0) }
  }

  /// Adds the addresses to their interfaces and announces them, several times over the next seconds.
  func take() {
    isHolding = true
    hasTaken = true
    for address in addresses {
      report("cannot add the address", address) {
        try manager.add(address)
        logger.event(.addressMoved, "address added", metadata: ["address": "\(address)"])
      }
    }
    guardian.keep()
    announceAnew()
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
    hasTaken = false
    schedule.end()
    timer?.disarm()
    for address in addresses {
      report("cannot remove the address", address) {
        try manager.remove(address)
        if wasHolding { logger.event(.addressMoved, "address removed", metadata: ["address": "\(address)"]) }
      }
    }
    guardian.report()
  }

  // MARK: Announcements

  /// The peer has said whether it is active. One that has just given way may have told the neighbours that the addresses are there.
  func peerIsHeard(isActive: Bool) {
    guard ear.hears(isActive: isActive, now: MonotonicClock.now), hasTaken else { return }
    announceAnew()
  }

  /// Tells the neighbours now, and several times over the next seconds.
  private func announceAnew() {
    guard hasTaken else { return }
    announce()
    schedule.begin(now: MonotonicClock.now)
    timer?.set(at: schedule.next)
  }

  private func announce() {
    for address in addresses where guardian.canAnnounce(address) {
      do { try announcer.announce(address) } catch {
        guard let times = failures.admit(now: MonotonicClock.now) else { continue }
        logger.error(
          "cannot announce the address",
          metadata: ["address": "\(address)", "error": "\(error)", "times": "\(times)"])
      }
    }
  }

  private func repeatAnnouncement() {
    announce()
    schedule.advance(now: MonotonicClock.now)
    timer?.set(at: schedule.next)
  }

  private func report(_ message: Logger.Message, _ address: ServiceAddress, _ body: () throws -> Void) {
    do { try body() } catch {
      logger.error(message, metadata: ["address": "\(address)", "error": "\(error)"])
    }
  }

  // MARK: Status

  /// What is on the interfaces now, as `GetStatus` shows it.
  var status: [AddressStatus] {
    var states: [String: InterfaceState?] = [:]
    return addresses.map { address in
      let name = address.interface
      let state: InterfaceState?
      do {
        state = try states[name] ?? manager.state(of: name)
      } catch {
        return AddressStatus(address: "\(address)", present: false, problem: "\(error)")
      }
      states.updateValue(state, forKey: name)
      return AddressStatus(
        address: "\(address)", present: state?.assigned(address) != nil,
        problem: state == nil ? "there is no interface \(name)" : state?.problem(of: address))
    }
  }
}
