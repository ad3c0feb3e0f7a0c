import HostCore
import Modelling
import Pairing
import Replication
import TCPModel
/// What goes wrong, by chance.
extension World {
  func misbehave() {
    guard hasFaults else { return }
    after(milliseconds: 30...1200) { [self] in misbehave() }
    let host = random.below(2)
    if arbiter != nil, random.chance(25) { return troubleArbiter() }
    switch random.below(100) {
    case 0..<22:
      guard let node = nodes[host] else { return }
      end(node, hostDies: random.chance(70))
      after(milliseconds: random.chance(30) ? 5...150 : 100...4000) { [self] in start(host) }
    case 22..<42:
      guard let node = nodes[host], !node.isPaused else { return }
      if random.chance(20) {
        node.isToStandStill = true
      } else {
        stand(node, for: random.chance(50) ? 20...260 : 200...2500)
      }
    case 42..<64: cut(0)
    case 64..<78: if scenario.policy.needsAPath { cut(0) } else { cut(1) }
    case 78..<84:
      if !scenario.policy.needsAPath {
        cut(0)
        cut(1)
      }
    case 84..<88:
      guard let node = nodes.compactMap({ $0 }).first(where: { $0.machine.role == .active && !$0.isPaused }) else {
        return
      }
      // What lacks something cannot move.
      guard node.settling.isEmpty, node.core.isSteady else { return }
      note(node, "is asked to hand over")
      node.handle(.switchover)
    case 88..<93:
      guard let node = nodes[host], !node.isPaused else { return }
      note(node, "loses its channel")
      node.closeServer()
      node.closeClient()
    case 93..<96:
      guard let node = nodes[host], !node.isPaused else { return }
      node.prepareRestart()
    default:
      guard let node = nodes[host], !node.isPaused else { return }
      note(node, "stops in order")
      node.stop()
    }
  }

  /// Its daemon has ended in order, and is started again after a while.
  func stopped(_ node: Node) {
    end(node, hostDies: false)
    after(milliseconds: 50...3000) { [self] in start(node.host) }
  }

  /// The daemon of a host ends where it stands, more often than not the active one.
  func crashSomebody() {
    guard hasFaults else { return }
    after(milliseconds: 500...5000) { [self] in crashSomebody() }
    let host = random.below(2)
    let active = nodes.compactMap { $0 }.first { $0.machine.role == .active }
    (random.chance(90) ? active : nodes[host])?.crash()
  }

  /// Clients cannot reach one host for a while, or both. Two come back one after the other.
  func cutSomebodyOff() {
    guard hasFaults else { return }
    after(milliseconds: 300...4000) { [self] in cutSomebodyOff() }
    for host in random.chance(30) ? [0, 1] : [random.below(2)] {
      note(nil, "clients cannot reach \(Node.names[host])")
      unreachable.insert(host)
      after(milliseconds: random.chance(50) ? 30...600 : 600...3000) { [self] in
        note(nil, "clients can reach \(Node.names[host])")
        unreachable.remove(host)
      }
    }
  }

  /// The process is stopped for a while.
  func stand(_ node: Node, for milliseconds: ClosedRange<Int>) {
    note(node, "stands still")
    node.isPaused = true
    after(milliseconds: milliseconds) { [weak node, self] in
      guard let node, node.isPaused, !node.isDead else { return }
      note(node, "goes on")
      node.resume()
    }
  }

  /// The arbiter is away for one host or both, or takes its time.
  private func troubleArbiter() {
    let hosts = random.chance(50) ? [0, 1] : [random.below(2)]
    if random.chance(30) {
      note(nil, "the arbiter is slow")
      arbiter?.isSlow = true
    } else {
      note(nil, "the arbiter is gone for \(hosts.map { Node.names[$0] }.joined(separator: " and "))")
      for host in hosts { arbiter?.isCut[host] = true }
    }
    after(milliseconds: random.chance(50) ? 50...600 : 500...4000) { [self] in
      guard hasFaults else { return }
      note(nil, "the arbiter is back")
      arbiter?.isSlow = false
      for host in hosts { arbiter?.isCut[host] = false }
    }
  }

  private func cut(_ path: Int) {
    let receivers = random.chance(40) ? [random.below(2)] : [0, 1]
    let ways = receivers.map { [path, $0] }
    note(
      nil, "cut: \(path == 0 ? "link" : "LAN") towards \(receivers.map { Node.names[$0] }.joined(separator: " and "))")
    cuts.formUnion(ways)
    after(milliseconds: random.chance(50) ? 30...400 : 300...3000) { [self] in
      guard hasFaults else { return }
      note(
        nil,
        "healed: \(path == 0 ? "link" : "LAN") towards \(receivers.map { Node.names[$0] }.joined(separator: " and "))")
      cuts.subtract(ways)
    }
  }
}
