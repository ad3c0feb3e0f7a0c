internal import ControlAPI
internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import SystemCalls

/// The control socket on the loop: takes clients and drives their connections.
final class ControlListener {
  private let server: ControlServer
  private let service: ControlService
  private let loop: EventLoop
  private let logger: Logger
  private var source: IOSource?
  private var pause: Timer?
  private var turns: Deferred?
  private var clients: [ObjectIdentifier: (connection: ControlConnection, source: IOSource)] = [:]

  /// How long to wait when there is no descriptor for another client, ns.
  private static let pauseLength: UInt64 = 100_000_000

  init(_ node: Configuration.Node, service: ControlService, loop: EventLoop, logger: Logger) throws {
    let info = ServiceInfo.holdfast
    server = try ControlServer(path: node.control, mode: node.controlMode, group: node.controlGroup, info: info)
    self.service = service
    self.loop = loop
    self.logger = logger
    source = try loop.addIO(
      server.descriptorNumber, .readable, priority: LoopPriority.control, description: "control socket"
    ) { [weak self] _ in self?.accept() }
    turns = try loop.addDeferred(priority: LoopPriority.control, description: "control turns") { [weak self] in
      for (connection, _) in self?.clients.values.filter({ $0.connection.wantsTurn }) ?? [] { connection.proceed() }
    }
    pause = try loop.addTimer(priority: LoopPriority.background, description: "control socket pause") { [weak self] in
      self?.source?.setEnabled(true)
    }
  }

  private func accept() {
    do {
      while let connection = try server.accept(handler: service) { try add(connection) }
    } catch {
      logger.warning("cannot take another client of the control socket", metadata: ["error": "\(error)"])
      source?.setEnabled(false)
      pause?.set(at: MonotonicClock.now + Self.pauseLength)
    }
  }

  private func add(_ connection: ControlConnection) throws {
    let key = ObjectIdentifier(connection)
    let source = try loop.addIO(
      connection.descriptorNumber, .readable, priority: LoopPriority.control, description: "control client"
    ) { [weak connection] ready in
      if ready.contains(.writable) { connection?.writable() }
      if !ready.isDisjoint(with: [.readable, .hangup, .error]) { connection?.readable() }
    }
    clients[key] = (connection, source)
    connection.onUpdate = { [weak self, unowned connection] in
      if connection.isClosed {
        source.cancel()
        self?.clients[key] = nil
        return
      }
      var events = IOEvents()
      if connection.wantsRead { events.insert(.readable) }
      if connection.wantsWrite { events.insert(.writable) }
      source.setEvents(events)
      if connection.wantsTurn { self?.turns?.schedule() }
    }
  }
}
