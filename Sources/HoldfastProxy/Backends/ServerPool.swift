internal import LinuxNetwork
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization
internal import SystemCalls
internal import SystemPackage
internal import TCPModel

/// The servers of a backend: connects to them, and finds out which are up.
final class ServerPool: Sendable {
  /// A connection to a server, and the server's place.
  struct Connected: ~Copyable, Sendable {
    let index: Int
    let server: Endpoint
    let socket: Descriptor
  }

  let configuration: ProxyConfiguration.Backend
  private let table: Mutex<ServerTable>
  private let group: any EventLoopGroup
  /// Connecting waits, on threads of the backend's own: a server that does not answer keeps nobody else.
  private let connectors = NIOThreadPool(numberOfThreads: 4)
  private let logger: Logger

  init(_ configuration: ProxyConfiguration.Backend, group: any EventLoopGroup, logger: Logger) {
    self.configuration = configuration
    self.group = group
    var logger = logger
    logger[metadataKey: "backend"] = "\(configuration.name)"
    self.logger = logger
    table = Mutex(ServerTable(configuration))
    connectors.start()
    if configuration.check == .connect { for index in configuration.servers.indices { check(index, on: group.next()) } }
  }

  /// Connects to a server for a client; to another one when it refuses.
  /// - Parameter done: with nil when none could be reached; on another thread.
  func connect(for flow: Flow, _ done: @escaping @Sendable (consuming Connected?) -> Void) {
    connectors.submit { [self] _ in done(attempt(flow)) }
  }

  func giveBack(_ index: Int) { table.withLock { $0.give(back: index) } }

  func resume(_ server: Endpoint) -> Int? { table.withLock { $0.resume(server) } }

  private func attempt(_ flow: Flow) -> Connected? {
    var tried: Set<Int> = []
    while let index = table.withLock({ $0.take(for: flow.peer.address, except: tried) }) {
      let server = configuration.servers[index]
      do {
        guard let source = configuration.source(for: server, client: flow.local.address) else {
          throw SystemCallError("bind", on: "\(server)", errno: .addressFamilyNotSupported)
        }
        let socket = try ProxySocket.connect(to: server, from: source, timeout: configuration.connectTimeout)
        return Connected(index: index, server: server, socket: socket)
      } catch {
        table.withLock { $0.give(back: index) }
        tried.insert(index)
        logger.warning("cannot reach a server", metadata: ["server": "\(server)", "error": "\(error)"])
        if configuration.check == .connect { note(index, reached: false) }
      }
    }
    return nil
  }

  // MARK: Checks

  /// From the host's own address, so that a standby knows too.
  private func check(_ index: Int, on loop: any EventLoop) {
    let server = configuration.servers[index]
    let timeout = TimeAmount.nanoseconds(Int64(clamping: configuration.checkTimeout))
    let reached: EventLoopFuture<Bool>
    do {
      let address = try NIOCore.SocketAddress(ipAddress: "\(server.address)", port: Int(server.port))
      reached = ClientBootstrap(group: loop).connectTimeout(timeout).connect(to: address)
        .map { channel in
          channel.close(promise: nil)
          return true
        }.recover { _ in false }
    } catch {
      reached = loop.makeSucceededFuture(false)
    }
    reached.whenSuccess { [self] reached in
      note(index, reached: reached)
      loop.scheduleTask(in: .nanoseconds(Int64(clamping: configuration.checkInterval))) { [weak self] in
        self?.check(index, on: loop)
      }
    }
  }

  private func note(_ index: Int, reached: Bool) {
    guard table.withLock({ $0.note(index, reached: reached) }) else { return }
    let server = configuration.servers[index]
    logger.log(
      level: reached ? .notice : .warning, reached ? "server is up" : "server is down",
      metadata: ["server": "\(server)"])
  }
}
