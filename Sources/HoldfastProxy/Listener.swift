internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import Logging
internal import Synchronization
internal import SystemCalls
internal import SystemPackage
internal import TCPModel

/// Takes clients of one frontend, on a thread of its own: SwiftNIO does not give away the descriptors of what it accepts.
final class Listener: Sendable {
  let frontend: ProxyConfiguration.Frontend
  private let onClient: @Sendable (Listener, consuming Descriptor) -> Void
  private let logger: Logger
  private let wakeup: Wakeup
  private let connections = Atomic<Int>(0)
  private let isStopped = Atomic<Bool>(false)

  /// Binds and starts.
  /// - Parameter onClient: called on the listener's thread; each must be answered by one call of `left`.
  init(
    _ frontend: ProxyConfiguration.Frontend, logger: Logger,
    onClient: @escaping @Sendable (Listener, consuming Descriptor) -> Void
  ) throws(SystemCallError) {
    self.frontend = frontend
    self.onClient = onClient
    var logger = logger
    logger[metadataKey: "frontend"] = "\(frontend.name)"
    self.logger = logger
    wakeup = try Wakeup()
    var sockets: [(number: Int32, endpoint: Endpoint)] = []
    for endpoint in frontend.listen {
      let socket = try ProxySocket.listen(on: endpoint)
      sockets.append((socket.release(), endpoint))
    }
    let listening = sockets
    try BackgroundThread.start { [self] in run(listening) }
  }

  var count: Int { connections.load(ordering: .relaxed) }

  /// A session that another host began counts too.
  func entered() { connections.add(1, ordering: .relaxed) }

  func left() {
    let former = connections.subtract(1, ordering: .relaxed).oldValue
    if former >= frontend.maxConnections { wakeup.signal() }
  }

  /// No further client; those that wait in the kernel's queue are reset, as by any server that goes.
  func stop() {
    isStopped.store(true, ordering: .relaxed)
    wakeup.signal()
  }

  private func run(_ sockets: [(number: Int32, endpoint: Endpoint)]) {
    defer { for (number, _) in sockets { close(number) } }
    while !isStopped.load(ordering: .relaxed) {
      let room = count < frontend.maxConnections
      let listeners = room ? sockets.map { pollfd(fd: $0.number, events: Int16(POLLIN), revents: 0) } : []
      var entries = [pollfd(fd: wakeup.number, events: Int16(POLLIN), revents: 0)] + listeners
      guard poll(&entries, nfds_t(entries.count), -1) > 0 else { continue }
      if entries[0].revents != 0 { wakeup.clear() }
      for (entry, (number, endpoint)) in zip(entries.dropFirst(), sockets) where entry.revents != 0 {
        take(number, endpoint)
      }
    }
  }

  private func take(_ listener: Int32, _ endpoint: Endpoint) {
    do throws(SystemCallError) {
      guard let client = try ProxySocket.accept(listener, on: endpoint) else { return }
      entered()
      onClient(self, client)
    } catch {
      // One that has gone already is no matter; a lack of descriptors or memory is, and does not pass at once.
      guard error.errno != .connectionAbort else { return }
      logger.warning("cannot take a client", metadata: ["error": "\(error)"])
      var pause = pollfd(fd: wakeup.number, events: Int16(POLLIN), revents: 0)
      _ = poll(&pause, 1, 100)
    }
  }
}
