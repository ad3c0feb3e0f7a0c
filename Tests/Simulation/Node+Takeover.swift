import HostCore
import Modelling
import Pairing
import Replication
import TCPModel

/// Goes on with the connections of the other host, in the order that the core's plan has.
extension Node {
  func takeOver(_ takeover: PairMachine.Takeover, _ plan: Restoration) {
    world.outcome.takeovers += 1
    let former = world.holder
    world.claim(self)
    world.check(takeover, by: self, plan.ledgers, wasComplete: wasComplete, former: former)
    if !takeover.areLedgersUsable { world.outlast(by: self) }
    for ledger in plan.ledgers.all where takeover.areLedgersUsable && ledger.obstacle == nil {
      guard let connection = world.connections[ledger.identity.id], !connection.isOver else { continue }
      connection.former = connection.owner
      connection.owner = self
      connection.isRestoring = true
    }
    restoration = plan
    carryOut(restoration?.begin(now: now) ?? [])
    endTakeoverIfDone()
  }

  private func carryOut(_ orders: [Restoration.Order]) { for order in orders { carryOut(order) } }

  private func carryOut(_ order: Restoration.Order) {
    guard let connection = world.connections[order.number], !connection.isOver else {
      restoration?.settle(order.ledger)
      return
    }
    switch order {
    case .ask:
      world.outcome.asked += 1
      world.ask(connection, by: self)
    case .lose(let ledger, _):
      restoration?.settle(ledger)
      world.reset(connection, by: self)
    case .restore(let ledger, _, let wasAnswered):
      if wasAnswered { world.outcome.answered += 1 }
      restoration?.settle(ledger)
      world.outcome.continued += 1
      restore(connection, ledger)
      let came = waiting.filter { $0.connection === connection }
      waiting.removeAll { $0.connection === connection }
      for packet in came { ingress(packet) }
    }
  }

  private func endTakeoverIfDone() {
    guard let plan = restoration else { return }
    guard let next = plan.nextLook else {
      restoration = nil
      waiting = []
      return handle(.takeoverEnded)
    }
    world.after(nanoseconds: next - min(next, now) + 1) { [weak self] in
      self?.whenRunning { [weak self] in self?.lookAtTakeover() }
    }
  }

  private func lookAtTakeover() {
    guard restoration != nil else { return }
    carryOut(restoration?.look(now: now) ?? [])
    endTakeoverIfDone()
  }

  /// A packet of a connection whose socket does not stand yet.
  /// - Returns: false when it is of no such connection.
  func takesWhileRestoring(_ packet: Packet) -> Bool {
    guard let ledger = restoration?.ledgers[packet.connection.number] else { return false }
    let order = packet.payload.withUnsafeBytes { restoration?.take(packet.header, $0, selective: nil, of: ledger) }
    // An answer stands before what comes behind it.
    waiting.append(packet)
    if let order {
      carryOut(order)
      if restoration?.isWaiting == false { endTakeoverIfDone() }
    }
    return true
  }

  private func restore(_ connection: Connection, _ ledger: Ledger) {
    ledger.continueElsewhere()
    let state = ledger.state
    connection.isRestoring = false
    sockets[connection.number] = HostSocket(
      una: state.sndUna.distance(from: connection.hostOrigin), nxt: state.sndNxt.distance(from: connection.hostOrigin),
      rcvNxt: state.rcvNxt.distance(from: connection.clientOrigin),
      read: state.copiedSeq.distance(from: connection.clientOrigin),
      offeredEdge: ledger.offeredEdge.distance(from: connection.clientOrigin),
      clock: TimestampClock(
        value: world.scenario.sabotage == .timestampsNotCarriedOver
          ? UInt32(truncatingIfNeeded: now / 1_000_000) : state.timestamp.restored(at: now), moment: now,
        unit: .milliseconds))
    outlines[connection.number] = ledger.outline
    book.insert(ledger)
    connection.baselinePosition = source.register(ledger, now: now)
  }
}

extension Restoration.Order {
  fileprivate var ledger: Ledger {
    switch self {
    case .ask(let ledger), .lose(let ledger, _), .restore(let ledger, _, _): ledger
    }
  }
  fileprivate var number: UInt64 { ledger.identity.id }
}
