import HostCore
import Modelling
import Pairing
import Replication
import TCPModel

/// What must hold after every step, wherever the step was.
extension World {
  /// A packet leaves a host for the client.
  func sent(_ packet: Packet, by node: Node) {
    let connection = packet.connection
    guard !connection.isOver, outcome.violation == nil else { return }
    let (end, told) = (packet.end, packet.told)
    let stamp = packet.header.timestampValue
    let isOpen = node.source.gate.isOpen
    let what = "connection \(connection.number), bytes to \(end), acknowledgement \(told), TSval \(stamp)"

    // Never two: what the former host sends after a takeover is what the latter had from it. Alone without an arbiter is
    // what the configuration allows.
    if let successor = connection.successor, successor.host != node.host, !(isOpen && scenario.policy == .allow),
      end > successor.sent || told > successor.told || Int32(bitPattern: stamp &- successor.stamp) > 0
    {
      violate("two hosts send: \(node.name) \(what) after \(Node.names[successor.host]) went on in its place")
    }
    // Output commit: the standby holds what this packet tells the client.
    if !isOpen, let standby = nodes[1 - node.host], let session = node.serverSession, standby.clientSession === session
    {
      let ledger = standby.replica.ledgers[connection.number]
      // What was made in the gap it need not hold; from the first packet on that was made after it, it has everything.
      if ledger == nil ? !packet.isUnprotected : !covers(ledger, connection, end: end, told: told, stamp: stamp) {
        violate("a packet leaves \(node.name) that \(standby.name) does not hold: \(what)")
      }
    }
    if connection.owner === node, Int32(bitPattern: stamp &- connection.stamp) < 0 {
      violate("a timestamp goes back: \(node.name) sends \(what) after \(connection.stamp)")
    }
    if connection.owner === node, !packet.isUnprotected { connection.lacksSince = nil }
    connection.sentEnd = max(connection.sentEnd, end)
    connection.toldEnd = max(connection.toldEnd, told)
    if Int32(bitPattern: stamp &- connection.stamp) > 0 { connection.stamp = stamp }
    guard !unreachable.contains(node.host) else { return }
    overTheLAN { [self] in receive(packet) }
  }

  private func covers(_ ledger: Ledger?, _ connection: Connection, end: Int, told: Int, stamp: UInt32) -> Bool {
    guard let ledger else { return false }
    return ledger.output.sndNxt.distance(from: connection.hostOrigin) >= end
      && ledger.input.rcvNxt.distance(from: connection.clientOrigin) >= told
      && Int32(bitPattern: ledger.timestamp.value &- stamp) >= 0
  }

  /// A host goes on in the other's place: what it holds must be at least what the client has seen.
  func check(_ takeover: PairMachine.Takeover, by node: Node, _ ledgers: LedgerBook, wasComplete: Bool, former: Node?) {
    if wasComplete, !takeover.areLedgersUsable, let source = node.replicaSource, source === former,
      source.machine.replication != .exposed, !source.hasGoneAlone, !source.hasWon,
      source.machine.role == .active || (arbiter != nil && source.machine.role == .fenced)
    {
      violate("\(node.name) has all ledgers of \(source.name), which never went on alone, and does not use them")
    }
    // Connections of a host that died without a standby belong to nobody any more.
    let source = node.replicaSource
    for connection in living where source != nil && connection.owner === source && !connection.isRestoring {
      guard let ledger = ledgers[connection.number], takeover.areLedgersUsable else {
        let isInGap = connection.lacksSince.map { node.replicaInstance >= $0 } ?? false
        // What began on a host that spoke alone no standby was ever told of.
        let isConfirmed = connection.baselinePosition.map { source?.source.acknowledged ?? 0 >= $0 } ?? true
        let wasTold = source?.hasGoneAlone == false && isConfirmed
        if takeover.areLedgersUsable, !isInGap, wasTold, connection.sentEnd > 0 || connection.toldEnd > 0 {
          violate("\(node.name) takes over and does not know connection \(connection.number)")
        }
        if takeover.areLedgersUsable, isInGap {
          outcome.lostInGap += 1
          connection.former = nil
        }
        // What was made in the gap may leave yet, if the standby had acknowledged what was before it; nothing that is made later.
        connection.successor =
          takeover.areLedgersUsable && isInGap
          ? (node.host, connection.made.sent, connection.made.told, connection.made.stamp)
          : (node.host, .min, .min, connection.stamp)
        continue
      }
      let state = ledger.state
      let sent = state.sndNxt.distance(from: connection.hostOrigin)
      let told = state.rcvNxt.distance(from: connection.clientOrigin)
      let una = state.sndUna.distance(from: connection.hostOrigin)
      let read = state.copiedSeq.distance(from: connection.clientOrigin)
      let what = "\(node.name) takes over connection \(connection.number)"
      if let obstacle = ledger.obstacle { violate("\(what), which cannot go on: \(obstacle)") }
      if told < connection.toldEnd {
        violate("\(what) without input that the client was told is delivered: \(told) of \(connection.toldEnd) bytes")
      }
      if sent < connection.sentEnd {
        violate("\(what) without output that the client may have seen: \(sent) of \(connection.sentEnd) bytes")
      }
      if una > connection.rcvNxt { violate("\(what), and has dropped output that the client lacks") }
      if !connection.fits(state.sendQueue, at: una, toClient: true)
        || !connection.fits(state.receiveQueue, at: read, toClient: false)
      {
        violate("\(what) with other bytes than were sent")
      }
      if Int32(bitPattern: state.timestamp.value &- connection.stamp) < 0 {
        violate("\(what) with the timestamp \(state.timestamp.value), and the client has seen \(connection.stamp)")
      }
      connection.successor = (node.host, sent, told, state.timestamp.value)
      connection.lacksSince = nil
    }
  }

  /// A host lets go of its connections, because another one is active: not in favour of the one in whose place it went on.
  func checkFence(of node: Node) {
    guard let other = nodes[1 - node.host], other.machine.role == .active else { return }
    for connection in living where connection.owner === node && connection.former === other {
      violate(
        "\(node.name) gives way to \(other.name), with connection \(connection.number) that it went on with in that one's place"
      )
    }
  }

  /// A host begins with nothing: from now on nobody else may speak for any connection.
  func disown(by node: Node) {
    for connection in living where connection.owner !== node {
      connection.successor = (node.host, .min, .min, connection.stamp)
    }
  }

  /// A host begins with nothing, or takes over with nothing that it can use, while no daemon runs on the other, or one that stands still or
  /// has only just come back: what is there gives way.
  func outlast(by node: Node) {
    // What it has handed over, and nobody went on with, is lost.
    for connection in living where connection.owner === node { connection.owner = nil }
    if let other = nodes[1 - node.host], !other.isPaused, !other.machine.isResumed { return }
    for connection in living where connection.former === node { connection.former = nil }
  }

  /// A host may speak, alone or with a standby. Another one that began with nothing meanwhile, and is not active any more, has said
  /// nothing for its connections.
  func reclaim(by node: Node) {
    guard nodes[1 - node.host]?.machine.role != .active else { return }
    for connection in living where connection.owner === node && connection.successor?.sent == .min {
      connection.successor = nil
    }
  }

  /// A host says that it does not know the connection: it is over.
  func reset(_ connection: Connection, by node: Node) {
    guard !connection.isOver else { return }
    outcome.reset += 1
    note(node, "resets connection \(connection.number)")
    connection.isOver = true
    for node in nodes { node?.release(connection.number) }
    connections[connection.number] = nil
  }

  private enum Missing: CaseIterable {
    case nobody, arbiter, alpha, beta
  }

  /// One host is cut off from everybody but its clients. The other one, with the arbiter, serves them within a bounded time.
  private func bePartOfTheMajority(_ host: Int) {
    for path in 0...1 { for receiver in 0...1 { cuts.insert([path, receiver]) } }
    arbiter?.isCut[1 - host] = true
    if nodes[host] == nil { start(host) }
    if let node = nodes[host], node.isPaused { node.resume() }
    run(until: now + 8_000_000_000)
    guard outcome.violation == nil else { return }
    guard let node = nodes[host], node.machine.role == .active, node.machine.speaksAlone, node.source.gate.isOpen else {
      let now = nodes.map { node in node.map { "\($0.name) \($0.machine.role) \($0.machine.replication)" } ?? "down" }
      return violate("8 s after the last fault \(Node.names[host]) does not serve: \(now.joined(separator: ", "))")
    }
    checkGaps(of: node)
    serves(until: now + 3_000_000_000)
  }

  /// The faults end: within a bounded time one host is active, the other one could go on in its place, and all bytes flow.
  func comeToRest() {
    note(nil, "the faults end")
    hasFaults = false
    cuts = []
    unreachable = []
    // Two of the three are enough: both hosts without the arbiter, or one of them with it.
    let missing = arbiter == nil ? nil : Missing.allCases.randomElement(using: &random)
    arbiter?.isSlow = false
    for host in 0...1 { arbiter?.isCut[host] = missing == .arbiter }
    if let missing { note(nil, "missing from now on: \(missing)") }
    if missing == .alpha || missing == .beta { return bePartOfTheMajority(missing == .alpha ? 1 : 0) }
    for host in 0...1 {
      if nodes[host] == nil { start(host) }
      if let node = nodes[host], node.isPaused { node.resume() }
    }
    run(until: now + 8_000_000_000)
    let roles = nodes.compactMap { $0?.machine.role.rawValue }.sorted()
    guard outcome.violation == nil else { return }
    guard roles == [Role.active.rawValue, Role.standby.rawValue],
      let active = nodes.compactMap({ $0 }).first(where: { $0.machine.role == .active }),
      let standby = nodes[1 - active.host], active.machine.replication == .synced, standby.machine.areLedgersCurrent
    else {
      let now = nodes.map { node in node.map { "\($0.name) \($0.machine.role) \($0.machine.replication)" } ?? "down" }
      return violate("8 s after the last fault there is no protected pair: \(now.joined(separator: ", "))")
    }
    checkGaps(of: active)
    // What has left is protected.
    for connection in living where connection.owner === active && (connection.sentEnd > 0 || connection.toldEnd > 0) {
      guard let ledger = standby.replica.ledgers[connection.number], ledger.obstacle == nil else {
        violate("8 s after the last fault connection \(connection.number) is not protected")
        continue
      }
    }
    serves(until: now + 3_000_000_000)
  }

  private func checkGaps(of node: Node) {
    for number in node.settling.keys.sorted() {
      violate("8 s after the last fault the gap of connection \(number) is open")
    }
  }

  /// All bytes flow.
  private func serves(until end: UInt64) {
    let before = living.map { ($0, $0.rcvNxt, $0.una) }
    if before.isEmpty { violate("8 s after the last fault no connection could be opened") }
    run(until: end)
    for (connection, received, acknowledged) in before where !connection.isOver {
      if connection.rcvNxt == received || connection.una == acknowledged {
        violate("connection \(connection.number) stands still after the last fault")
      }
    }
  }
}
