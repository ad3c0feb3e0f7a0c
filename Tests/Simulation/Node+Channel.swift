import HostCore
import Pairing
import Replication
import TCPModel

/// Both ends of the replication channel.
extension Node {
  // MARK: The active host's end

  func accept(_ session: Session) {
    closeServer()
    serverSession = session
    core.attach(hello, connections: book.all.map(\.identity.id).sorted())
    perform()
    flush()
  }

  private var hello: Hello {
    Hello(
      node: name, pair: "web", instance: instance, epoch: machine.epoch, position: 0, supportsMicroseconds: true)
  }

  func flush() {
    guard let session = serverSession else { return }
    core.pump(book, now: now)
    perform()
    if source.outgoing.unsentCount > 0 { world.send(source.outgoing.takeAll(), to: 1, of: session) }
  }

  func closeServer() {
    guard let session = serverSession else { return }
    serverSession = nil
    world.close(0, of: session)
    handle(.standbyEnded(reason: "the channel has ended"))
  }

  // MARK: The standby's end

  func follow() {
    guard isFollowing, !isDead else { return }
    if clientSession == nil, !isPaused { world.connect(self) }
    world.after(milliseconds: 80...120) { [weak self] in
      if self?.clientSession == nil { self?.follow() }
    }
  }

  func connected(_ session: Session) {
    clientSession = session
    clientStream = OutgoingStream()
    handle(.sourceConnecting)
  }

  func closeClient() {
    guard let session = clientSession else { return }
    clientSession = nil
    world.close(1, of: session)
    handle(.sourceEnded(reason: "the channel has ended"))
    if isFollowing { follow() }
  }

  func sayGoodbye() {
    guard let session = clientSession else { return }
    clientStream.append(.goodbye, body: [Goodbye.leaving.rawValue])
    world.send(clientStream.takeAll(), to: 0, of: session)
  }

  private func acknowledge(_ position: UInt64, in session: Session) {
    clientStream.appendNumber(.acknowledge, position)
    world.send(clientStream.takeAll(), to: 0, of: session)
  }

  // MARK: Frames

  func receive(_ bytes: [UInt8], at end: Int, of session: Session) {
    guard session === (end == 0 ? serverSession : clientSession) else { return }
    let box = session.incoming[end]
    if world.scenario.sabotage == .acknowledgeBeforeFold, end == 1, box.isGreeted {
      // It counts what has come and folds it when it has time.
      box.late.append(bytes)
      acknowledge(box.stream.position + UInt64(box.late.reduce(0) { $0 + $1.count }), in: session)
      world.after(milliseconds: 1...60) { [weak self] in
        guard let self, !box.late.isEmpty, clientSession === session else { return }
        whenRunning { [weak self] in self?.fold(box.late.removeFirst(), at: end, of: session, box) }
      }
      return
    }
    fold(bytes, at: end, of: session, box)
    if end == 1, clientSession === session, core.acknowledge(box.stream.position) {
      acknowledge(box.stream.position, in: session)
    }
    if end == 0, serverSession === session { flush() }
  }

  private func fold(_ bytes: [UInt8], at end: Int, of session: Session, _ box: IncomingBox) {
    var rest = bytes[...]
    do {
      while !rest.isEmpty {
        let space = box.stream.space()
        let count = min(rest.count, space.count)
        space.copyBytes(from: rest.prefix(count))
        box.stream.commit(count)
        rest = rest.dropFirst(count)
        while let frame = try box.stream.next() {
          try take(frame, at: end, of: session, box)
          guard session === (end == 0 ? serverSession : clientSession) else { return }
        }
      }
    } catch {
      world.violate("\(name) cannot follow the channel: \(error)")
    }
  }

  private func take(_ frame: Frame, at end: Int, of session: Session, _ box: IncomingBox) throws(ProtocolError) {
    if end == 0 {
      try core.receive(fromStandby: frame)
    } else if let position = try core.receive(fromSource: frame, now: now) {
      box.isGreeted = true
      box.stream.rebase(to: position)
      replicaSource = session.server
      replicaInstance = core.leader.hello?.instance ?? 0
    }
    perform()
  }
}
