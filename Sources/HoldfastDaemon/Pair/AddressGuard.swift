internal import DaemonSupport
internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import SystemCalls

/// Has an eye on the interfaces of a pair's service addresses: puts back what somebody else takes from a host that holds them, and
/// tells of what appears on one that does not.
final class AddressGuard {
  private enum Duty { case none, keep, report }

  /// Why an address is not here although this host holds it.
  private struct Outage {
    let begun: UInt64
    var reason: String
    /// When it is said again, CLOCK_MONOTONIC in ns.
    var nextComplaint: UInt64
  }

  private let addresses: [ServiceAddress]
  private let manager: AddressManager
  private let feed: AddressFeed?
  private let logger: Logger
  private var duty = Duty.none
  private var timer: Timer?
  private var lastLook: UInt64 = 0
  /// What the last look has found; nil for an interface that is not there.
  private var interfaces: [String: InterfaceState?] = [:]
  private var outages: [ServiceAddress: Outage] = [:]
  private var strays: Set<ServiceAddress> = []
  private var throttles: [ServiceAddress: LogThrottle] = [:]
  private var nextOrdering: UInt64 = 0

  /// Addresses are back, or a link is: the neighbours have to hear of it.
  var onReturn: (() -> Void)?
  /// An address cannot be put back, with the reason; again every 10 s while that lasts.
  var onCannotHold: ((String) -> Void)?

  /// From the first notice to the look, ns: whoever clears an interface and sets it up anew, as `ip address flush` and network
  /// managers do, comes to the end of the first half at least. `ip` gives up when addresses come back while it clears.
  private static let settling: UInt64 = 50_000_000
  /// Between two looks, ns: somebody who removes an address again and again does not keep the loop busy.
  private static let interval: UInt64 = 100_000_000
  /// Between two tries to put an address back, ns.
  private static let retry: UInt64 = 250_000_000
  /// After so long without an address this host says that it cannot hold it, ns.
  private static let patience: UInt64 = 1_000_000_000

  /// - Parameter feed: nil for looks that are asked for alone.
  init(
    _ addresses: [ServiceAddress], manager: AddressManager, feed: AddressFeed?, loop: EventLoop, logger: Logger
  ) throws(SystemCallError) {
    self.addresses = addresses
    self.manager = manager
    self.feed = feed
    self.logger = logger
    timer = try loop.addTimer(priority: LoopPriority.control, description: "look at addresses") { [weak self] in
      self?.look()
    }
    feed?.listen { [weak self] in self?.noticed($0) }
  }

  // MARK: Duties

  /// From now on the addresses are to be here.
  func keep() { begin(.keep) }

  /// From now on they are not.
  func report() { begin(.report) }

  private func begin(_ duty: Duty) {
    self.duty = duty
    outages = [:]
    strays = []
    lookSoon()
  }

  /// Whether neighbours can be told that the address is here, as far as is known.
  func canAnnounce(_ address: ServiceAddress) -> Bool {
    guard outages[address] == nil else { return false }
    guard let known = interfaces[address.interface] else { return true }
    return known?.isRunning ?? false
  }

  // MARK: Notices

  private func noticed(_ change: AddressWatch.Change) {
    guard duty != .none else { return }
    if case .interfaces(let changed) = change, !concerns(changed) { return }
    lookSoon()
  }

  private func concerns(_ changed: Set<Int32>) -> Bool {
    Set(addresses.map(\.interface)).contains { name in
      guard let known = interfaces[name], let known, InterfaceState.index(of: name) == known.index else { return true }
      return changed.contains(known.index)
    }
  }

  private func lookSoon() { look(at: max(MonotonicClock.now + Self.settling, lastLook + Self.interval)) }

  private func look(at time: UInt64) { timer?.set(at: min(time, timer?.deadline ?? .max)) }

  private func look() {
    lastLook = MonotonicClock.now
    var isLinkBack = false
    var before: [String: InterfaceState?] = [:]
    for name in Set(addresses.map(\.interface)) {
      do {
        let state = try manager.state(of: name)
        before[name] = interfaces[name]
        if let known = interfaces[name], state?.hasComeBack(since: known) ?? false { isLinkBack = true }
        interfaces.updateValue(state, forKey: name)
      } catch {
        logger.debug("cannot look at an interface", metadata: ["interface": "\(name)", "error": "\(error)"])
        look(at: lastLook + Self.retry)
      }
    }
    switch duty {
    case .none: break
    case .keep:
      var isBack = false
      for address in addresses where keep(address, before[address.interface] ?? nil) { isBack = true }
      for address in addresses { putBehindOwn(address) }
      if isBack || isLinkBack { onReturn?() }
      if !outages.isEmpty { look(at: lastLook + Self.retry) }
    case .report: for address in addresses { report(address) }
    }
  }

  // MARK: The host that holds them

  /// - Returns: whether the address is here again.
  private func keep(_ address: ServiceAddress, _ before: InterfaceState?) -> Bool {
    let state = interfaces[address.interface] ?? nil
    guard state?.has(address) != true else {
      outages[address] = nil
      return false
    }
    let what = outages[address]?.reason ?? state.whatHappened(to: address, since: before)
    do {
      try manager.add(address)
      outages[address] = nil
      if let times = throttles[address, default: LogThrottle()].admit(now: lastLook) {
        logger.event(
          .addressLost, level: .warning, "a service address was gone from this host; it is back and announced",
          metadata: [
            "address": "\(address)", "interface": "\(address.interface)", "reason": "\(what)", "times": "\(times)",
          ])
      }
      return true
    } catch {
      var outage = outages[address] ?? Outage(begun: lastLook, reason: what, nextComplaint: lastLook + Self.patience)
      defer { outages[address] = outage }
      guard lastLook >= outage.nextComplaint else { return false }
      outage.nextComplaint = lastLook + LogThrottle.interval
      logger.event(
        .addressUnavailable, level: .error, "this host cannot hold a service address: clients do not reach it here",
        metadata: [
          "address": "\(address)", "interface": "\(address.interface)", "reason": "\(outage.reason)",
          "error": "\(error)",
        ])
      onCannotHold?("\(address): \(error)")
      return false
    }
  }

  /// The first address of a network is the source of what the host's own programs open. That is the host's own, if it has one.
  private func putBehindOwn(_ address: ServiceAddress) {
    guard let feed, let state = interfaces[address.interface] ?? nil,
      state.puts(address, beforeOthersThan: feed.services)
    else { return }
    guard lastLook >= nextOrdering else { return look(at: nextOrdering) }
    // Whoever puts it first again and again is not fought over it.
    nextOrdering = lastLook + LogThrottle.interval
    do {
      if try manager.yieldPlace(address, services: feed.services) {
        logger.info(
          "the host's own address comes before the service address again", metadata: ["address": "\(address)"])
      }
    } catch {
      logger.warning(
        "cannot put the host's own address before the service address: its programs may choose the service address",
        metadata: ["address": "\(address)", "error": "\(error)"])
    }
  }

  // MARK: A host that does not

  private func report(_ address: ServiceAddress) {
    guard let state = interfaces[address.interface] ?? nil, let found = state.assigned(address) else {
      if strays.remove(address) != nil {
        logger.info("the service address is gone from this host", metadata: ["address": "\(address)"])
      }
      return
    }
    guard strays.insert(address).inserted,
      let times = throttles[address, default: LogThrottle()].admit(now: lastLook)
    else { return }
    logger.event(
      .addressUnexpected, level: .warning,
      "a service address is on this host, which does not hold it: this host answers for it beside the active one. Remove it",
      metadata: [
        "address": "\(found) dev \(address.interface)", "interface": "\(address.interface)", "times": "\(times)",
      ])
  }
}
