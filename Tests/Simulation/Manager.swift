import HostCore
import Modelling
import Pairing

/// A cluster manager that does what it must, whatever the network between the hosts does: it promotes one host at a time, and
/// another one only after the former has been demoted, or is dead. A host that does not do as it is told it switches off.
final class Manager {
  private unowned let world: World
  /// Whom it has promoted and not yet demoted.
  private var promoted: Int?
  private var isDemoting = false
  /// Since when the promoted host has not been active, ns.
  private var idleSince: UInt64?

  /// How long a promoted host may take, and a demoted one, ns.
  private static let patience: UInt64 = 2_000_000_000

  init(_ world: World) { self.world = world }

  func start() { world.after(milliseconds: 50...500) { [self] in act() } }

  private func act() {
    start()
    guard !isDemoting else { return }
    guard let host = promoted else { return choose() }
    guard let node = world.nodes[host] else {
      // The cluster knows that it is gone.
      promoted = nil
      return
    }
    let serves = !node.isPaused && node.machine.role == .active
    idleSince = serves ? nil : idleSince ?? world.now
    let isLate = idleSince.map { world.now - $0 > Self.patience } ?? false
    if isLate || (world.hasFaults && world.random.chance(3)) { return demote(node) }
    // Said again and again: its daemon may be another one.
    promote(node)
  }

  /// A standby that is synced comes first.
  private func choose() {
    let nodes = world.nodes.compactMap { $0 }.filter { !$0.isPaused }
    let best =
      nodes.first { $0.machine.role == .active } ?? nodes.first { $0.machine.areLedgersCurrent }
      ?? nodes.randomElement(using: &world.random)
    guard let node = best else { return }
    // Nobody else may be active: one that stands still is not asked, and switched off.
    for other in world.nodes.compactMap({ $0 }) where other !== node && other.machine.role == .active {
      world.note(other, "is switched off")
      world.end(other, hostDies: true)
      world.after(milliseconds: 200...2000) { [world] in world.start(other.host) }
    }
    world.note(node, "is promoted")
    promoted = node.host
    idleSince = nil
    promote(node)
  }

  private func promote(_ node: Node) {
    guard !node.isPaused, !node.isPromoted else { return }
    node.isPromoted = true
    node.handle(.promoted)
  }

  private func demote(_ node: Node) {
    world.note(node, "is demoted")
    isDemoting = true
    node.whenRunning { [weak node] in node?.demote() }
    wait(for: node, until: world.now + Self.patience)
  }

  private func wait(for node: Node, until deadline: UInt64) {
    world.after(milliseconds: 20...60) { [self] in
      let isGone = world.nodes[node.host] !== node
      guard isGone || (!node.isPaused && node.machine.role != .active && !node.isPromoted) || world.now >= deadline
      else {
        return wait(for: node, until: deadline)
      }
      if !isGone, node.machine.role == .active || node.isPaused || node.isPromoted {
        world.note(node, "is switched off")
        world.end(node, hostDies: true)
        world.after(milliseconds: 200...2000) { [world] in world.start(node.host) }
      }
      isDemoting = false
      promoted = nil
    }
  }
}

extension Node {
  /// As `holdfastctl demote` does: a synced standby gets everything first.
  func demote() {
    isPromoted = false
    guard machine.replication == .synced, core.isSteady else {
      return obey()
    }
    handle(.switchover)
    world.after(milliseconds: 1000...1500) { [weak self] in
      self?.whenRunning { [weak self] in
        if let self, !isPromoted, machine.role == .active { obey() }
      }
    }
  }

  private func obey() {
    isDemoted = true
    handle(.demoted)
    isDemoted = false
  }
}
