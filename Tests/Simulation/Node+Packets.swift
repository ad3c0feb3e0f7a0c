import HostCore
import Modelling
import Pairing
import Replication
import TCPModel

/// The kernel's sockets, the applications on them, and the way of a packet through the daemon.
extension Node {
  func actAgain() {
    guard !isDead else { return }
    if !isPaused { act() }
    world.after(milliseconds: 3...25) { [weak self] in self?.actAgain() }
  }

  private func act() {
    guard machine.role == .active, core.takesPackets, !isMute,
      let id = sockets.keys.sorted().randomElement(using: &world.random),
      let connection = world.connections[id], var socket = sockets[id]
    else { return flush() }
    if socket.rcvNxt > socket.read, world.random.chance(60) {
      socket.read += world.random.within(1...socket.rcvNxt - socket.read)
      socket.isReadUnrecorded = true
    }
    if socket.isReadUnrecorded, world.random.chance(60) {
      socket.isReadUnrecorded = false
      let sequence = connection.clientOrigin + socket.read
      if let ledger = ledger(id) { source.record(.consumed(sequence), in: ledger) }
    }
    sockets[id] = socket
    transmit(connection)
  }

  /// A packet from the client.
  func ingress(_ packet: Packet) {
    let id = packet.connection.number
    guard machine.role == .active, !isMute else { return }
    // It waits in the kernel's queue.
    guard core.takesPackets else { return late.append(packet) }
    if takesWhileRestoring(packet) { return }
    guard let ledger = ledger(id), var socket = sockets[id] else {
      if sockets[id] != nil { world.violate("\(name) has a socket without a ledger, of connection \(id)") }
      return world.reset(packet.connection, by: self)
    }
    packet.payload.withUnsafeBytes { bytes in
      source.record(.ingress(packet.header, bytes), in: ledger)
      settle(id)
    }
    let connection = packet.connection
    let acknowledged = packet.header.acknowledgement.distance(from: connection.hostOrigin)
    // What was never sent cannot be acknowledged: the kernel drops the segment.
    guard acknowledged <= socket.nxt else { return }
    socket.una = max(socket.una, acknowledged)
    socket.clientWindow = Int(packet.header.window)
    let position = packet.header.sequence.distance(from: connection.clientOrigin)
    let end = min(position + packet.payload.count, socket.offeredEdge)
    let isNews = position <= socket.rcvNxt && end > socket.rcvNxt
    if isNews { socket.rcvNxt = end }
    sockets[id] = socket
    if !packet.payload.isEmpty, world.random.chance(50) { transmit(connection) }
    if world.random.chance(50) { flush() }
  }

  /// The kernel makes a packet: new bytes, old ones again, or an acknowledgement alone.
  private func transmit(_ connection: Connection) {
    guard var socket = sockets[connection.number] else { return }
    var position = socket.nxt
    var count = 0
    if socket.una < socket.nxt, world.random.chance(30) {
      position = socket.una
      count = min(socket.nxt - socket.una, world.random.within(1...200))
    } else if world.random.chance(80) {
      count = min(max(0, socket.una + socket.clientWindow - socket.nxt), world.random.within(1...200))
      socket.nxt += count
    }
    let window = max(socket.offeredEdge - socket.rcvNxt, Connection.window - (socket.rcvNxt - socket.read))
    socket.offeredEdge = socket.rcvNxt + window
    sockets[connection.number] = socket
    egress(
      Packet(
        connection: connection,
        header: SegmentHeader(
          sequence: connection.hostOrigin + position, acknowledgement: connection.clientOrigin + socket.rcvNxt,
          window: UInt16(clamping: window), flags: .ack, hasTimestamp: true,
          timestampValue: socket.stamp(now)),
        payload: connection.bytes(position..<position + count, toClient: true)))
  }

  private func egress(_ made: Packet) {
    var packet = made
    let id = packet.connection.number
    packetNumber &+= 1
    packet.payload.withUnsafeBytes { bytes in
      if let ledger = ledger(id) { source.record(.egress(packet.header, bytes, at: now), in: ledger) }
      settle(id)
      source.hold(packetNumber)
    }
    packet.isUnprotected = settling[id] != nil
    if packet.isUnprotected { packet.connection.make(packet) }
    if world.scenario.sabotage == .gateOff {
      source.gate.forgetAll()
      world.sent(packet, by: self)
    } else {
      held.append((packetNumber, packet))
      letGo()
    }
    flush()
  }

  /// What the core lets go leaves.
  func letGo() {
    guard let last = core.release(now: now) else { return }
    var count = 0
    while count < held.count {
      world.sent(held[count].packet, by: self)
      count += 1
      if held[count - 1].number == last { break }
    }
    held.removeFirst(count)
  }
}
