internal import Glibc
internal import DaemonSupport
internal import Holdfast
internal import LinuxNetwork
internal import Logging
internal import NIOCore
internal import NIOPosix

/// All frontends and backends of a host, and the way out of the process.
final class Proxy {
  private let configuration: ProxyConfiguration
  private let logger: Logger
  private let group: MultiThreadedEventLoopGroup
  private let control: ControlLink
  private let admission: Admission
  private let manager = ServiceManager()
  private var listeners: [Listener] = []

  init(_ configuration: ProxyConfiguration, logger: Logger) {
    self.configuration = configuration
    self.logger = logger
    group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.threads ?? System.coreCount)
    control = ControlLink(path: configuration.control, service: configuration.service)
    admission = Admission(configuration, control: control, group: group, logger: logger)
  }

  /// Runs until SIGTERM or SIGINT, then until all sessions have ended or have had time enough.
  /// - Parameter signals: those two; blocked in all threads.
  func run(until signals: sigset_t) throws -> Int32 {
    guard fitsThePairs() else { return 1 }
    var pools: [String: ServerPool] = [:]
    for backend in configuration.backends {
      pools[backend.name] = ServerPool(backend, group: group, logger: logger)
    }
    var desks: [String: (listener: Listener, pool: ServerPool)] = [:]
    for frontend in configuration.frontends {
      guard let pool = pools[frontend.backend] else { continue }
      let admission = admission
      let listener = try Listener(frontend, logger: logger) { listener, client in
        admission.admit(client, from: listener, to: pool)
      }
      listeners.append(listener)
      desks[frontend.name] = (listener, pool)
    }
    let (known, admission) = (desks, admission)
    _ = try Adopter(
      path: configuration.control, service: configuration.service, control: control, loop: group.next(), logger: logger
    ) { front, back in
      let desk = known[front.key.frontend]
      admission.resume(front, back, desk?.listener, desk?.pool)
    }
    logger.notice(
      "serving",
      metadata: [
        "frontends": "\(configuration.frontends.map(\.name).joined(separator: " "))",
        "service": "\(configuration.service)",
      ])
    manager.ready()
    while !wait(for: signals) { manager.status("\(admission.count) sessions") }
    drain(signals)
    return 0
  }

  /// Asks the daemon, if it is there, whether both legs of each session belong to one pair, and says what is wrong.
  private func fitsThePairs() -> Bool {
    let check: PairCheck
    do throws(HoldfastError) {
      check = PairCheck(try HoldfastClient(path: configuration.control, patience: 2000).status().pairs)
    } catch {
      logger.warning("holdfastd cannot be asked for its pairs", metadata: ["error": "\(error)"])
      return true
    }
    if let conflict = check.conflict(in: configuration) {
      logger.critical("the configuration does not fit holdfastd's", metadata: ["error": "\(conflict)"])
      return false
    }
    for address in check.strangers(in: configuration) {
      logger.warning(
        "clients call an address of no pair: their connections end with this host", metadata: ["address": "\(address)"])
    }
    return true
  }

  /// - Returns: whether one of the signals came within a second.
  private func wait(for signals: sigset_t) -> Bool {
    var (signals, limit) = (signals, timespec(tv_sec: 1, tv_nsec: 0))
    return sigtimedwait(&signals, nil, &limit) > 0
  }

  private func drain(_ signals: sigset_t) {
    manager.stopping()
    for listener in listeners { listener.stop() }
    logger.notice("takes no more clients; waits for sessions to end", metadata: ["sessions": "\(admission.count)"])
    let deadline = NIODeadline.now() + .nanoseconds(Int64(clamping: configuration.drainTimeout))
    var (signals, pause) = (signals, timespec(tv_sec: 0, tv_nsec: 50_000_000))
    while admission.count > 0, NIODeadline.now() < deadline, sigtimedwait(&signals, nil, &pause) <= 0 {
      manager.status("draining, \(admission.count) sessions")
    }
    if admission.count > 0 {
      logger.warning(
        "leaves sessions behind: holdfastd keeps their connections", metadata: ["sessions": "\(admission.count)"])
    }
    // What was said last must be heard.
    let done = group.next().makePromise(of: Void.self)
    control.flush { done.succeed() }
    let limit = done.futureResult.eventLoop.scheduleTask(in: .seconds(2)) { done.succeed() }
    try? done.futureResult.wait()
    limit.cancel()
  }
}
