internal import Glibc

/// What happens to the network of a host that lives.
extension ChaosEra {
  /// - Returns: what mends it.
  func beginOnHost(_ fault: Fault) throws -> () throws -> Void {
    let either = dice.falls(0.6) ? active : active.other
    switch fault {
    case .rulesetFlushed, .tableDamaged:
      for _ in 0..<dice.pick(1...5) {
        try strike(dice.falls(0.6) ? active : active.other, fault)
        try pass(dice.pick(0...1200))
      }
      return {}
    case .rulesetFlushedThenDeath, .tableDamagedThenDeath:
      try strike(either, fault)
      // The death meets every step of the way back.
      try pass(dice.falls(0.5) ? dice.pick(0...60) : dice.pick(0...3000))
      return try dieWithoutTheUnprotected(active)
    case .addressRemoved: return try removeAddresses(of: active)
    case .activeLinkDown: return try takeLinksDown([active])
    case .standbyLinkDown: return try takeLinksDown([active.other])
    case .bothLinksDown: return try takeLinksDown([active, active.other])
    case .activeLinkFlaps: return try flap(active)
    default: return try flap(either)
    }
  }

  /// Somebody takes packet rules away.
  private func strike(_ host: HostName, _ fault: Fault) throws {
    guard fault.needsTableWithoutOwner else {
      try strikes.note { try pair.topology.flushRuleset(of: host) }
      return note("the ruleset of \(host) is flushed")
    }
    let kinds = ListedTable.Damage.allCases.filter { $0 != .rulesetFlushed }
    let damage = kinds[Int(dice.pick(0...UInt64(kinds.count - 1)))]
    try strikes.note {
      do { try pair.topology.damage(damage, on: host) } catch {
        // What the last strike took may not be back yet, and an element may end with its connection.
        try wait(for: "\(host)'s table: \(error)", until: .seconds(10)) {
          (try? pair.topology.damage(.tableDeleted, on: host)) != nil
        }
      }
    }
    note("\(host): \(damage.rawValue)")
  }

  /// A host dies. Nothing is promised to connections that it does not call protected.
  private func dieWithoutTheUnprotected(_ host: HostName) throws -> () throws -> Void {
    let unprotected = try pair[host].connections().filter { !$0.protected }
    traffic.excuse(unprotected.map(\.peer))
    note("\(host) dies with \(unprotected.count) connections that it does not call protected")
    return try die(host)
  }

  /// Somebody takes the service's addresses off a host.
  private func removeAddresses(of host: HostName) throws -> () throws -> Void {
    let both = ["\(Addresses.service4)/24", "\(Addresses.service6)/64"]
    let victims = dice.falls(0.4) ? both : [both[Int(dice.pick(0...1))]]
    for _ in 0..<dice.pick(1...3) {
      for address in victims {
        // The one from the last time may not be back yet.
        _ = try? Tool.run("ip", ["-n", pair.topology[host].name, "addr", "del", address, "dev", "eth0"])
        note("\(host) loses \(address)")
      }
      try pass(dice.pick(0...1500))
    }
    return {}
  }

  /// The links of hosts have no carrier, or are taken down on the hosts themselves.
  private func takeLinksDown(_ hosts: [HostName]) throws -> () throws -> Void {
    let ways = hosts.map { ($0, atSwitch: dice.falls(0.6)) }
    for (host, atSwitch) in ways {
      note("\(host)'s link goes down \(atSwitch ? "at the switch" : "on the host")")
      try setLink(of: host, up: false, atSwitch: atSwitch)
    }
    return { [self] in for (host, atSwitch) in ways.reversed() { try setLink(of: host, up: true, atSwitch: atSwitch) } }
  }

  private func flap(_ host: HostName) throws -> () throws -> Void {
    let atSwitch = dice.falls(0.6)
    let count = dice.pick(2...8)
    note("\(host)'s link goes down and up \(count) times \(atSwitch ? "at the switch" : "on the host")")
    for _ in 0..<count {
      try setLink(of: host, up: false, atSwitch: atSwitch)
      try pass(dice.pick(0...900))
      try setLink(of: host, up: true, atSwitch: atSwitch)
      try pass(dice.pick(0...900))
    }
    return {}
  }

  private func setLink(of host: HostName, up: Bool, atSwitch: Bool) throws {
    let topology = pair.topology
    let state = up ? "up" : "down"
    if atSwitch { return try topology.lan.ip("link", "set", "v-\(host)", state) }
    try topology[host].ip("link", "set", "eth0", state)
    guard up else { return }
    // The kernel has forgotten the host's own IPv6 address with the link; its network manager has not.
    try topology[host].ip("-6", "addr", "replace", "fd77::\(host.digit)/64", "dev", "eth0", "nodad")
  }
}
