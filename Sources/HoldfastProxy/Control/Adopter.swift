internal import ControlAPI
internal import Glibc
internal import Holdfast
internal import Logging
internal import NIOCore
internal import Synchronization
internal import SystemCalls
internal import TCPModel

/// Takes the connections of the other host's proxy, and brings the two legs of each session together again.
final class Adopter: Sendable {
  /// A leg that waits for its partner.
  struct Half: ~Copyable, Sendable {
    let key: SessionKey
    let side: SessionKey.Side
    let info: ConnectionInfo
    let socket: Descriptor
  }

  private final class Box: Sendable {
    private let half: Mutex<Half?>
    init(_ half: consuming Half) { self.half = Mutex(half) }
    func take() -> Half? { half.withLock { half in half.take() } }
  }

  private let path: String
  private let service: String
  private let control: ControlLink
  private let loop: any EventLoop
  private let logger: Logger
  private let onPair: @Sendable (consuming Half, consuming Half) -> Void
  private let waiting = Mutex<[String: Box]>([:])

  /// How long a leg waits for its partner. Peers answer at different times, but none for longer than a takeover asks.
  private static let patience = TimeAmount.seconds(5)
  /// Until a daemon that is not there is looked for again, µs.
  private static let pause: UInt32 = 100_000

  /// - Parameter onPair: called on the adopter's thread with the front leg and the back leg.
  init(
    path: String, service: String, control: ControlLink, loop: any EventLoop, logger: Logger,
    onPair: @escaping @Sendable (consuming Half, consuming Half) -> Void
  ) throws(SystemCallError) {
    self.path = path
    self.service = service
    self.control = control
    self.loop = loop
    self.logger = logger
    self.onPair = onPair
    try BackgroundThread.start { [self] in run() }
  }

  private func run() {
    var complained: HoldfastError?
    while true {
      let failure = takeAll(after: complained)
      if failure != complained { logger.warning("no connections can be adopted", metadata: ["error": "\(failure)"]) }
      complained = failure
      usleep(Self.pause)
    }
  }

  /// Takes what comes until the daemon is gone.
  private func takeAll(after complaint: HoldfastError?) -> HoldfastError {
    do throws(HoldfastError) {
      let adoption = try HoldfastClient(path: path).adopt(service: service)
      if complaint != nil { logger.notice("holdfastd answers again") }
      while true { take(try adoption.next()) }
    } catch {
      return error
    }
  }

  private func take(_ adopted: consuming AdoptedConnection) {
    let info = adopted.info
    guard let (key, side) = info.key.flatMap(SessionKey.parse) else {
      logger.warning(
        "adopted a connection that is not this program's; reset",
        metadata: ["connection": "\(info.id)", "peer": "\(info.peer)"])
      control.release(info.id, how: .reset)
      return
    }
    let half = Half(key: key, side: side, info: info, socket: adopted.takeSocket())
    guard let partner = waiting.withLock({ $0.removeValue(forKey: key.session) })?.take() else {
      let box = Box(half)
      waiting.withLock { $0[key.session] = box }
      loop.scheduleTask(in: Self.patience) { [weak self] in self?.giveUp(key.session) }
      return
    }
    guard partner.side == side.other else {
      logger.error("two legs of one session are of the same side", metadata: ["session": "\(key.session)"])
      control.release(info.id, how: .reset)
      control.release(partner.info.id, how: .reset)
      return
    }
    if side == .front { onPair(half, partner) } else { onPair(partner, half) }
  }

  /// The other leg was lost with its host, or broke off just before: this one would stand still for ever.
  private func giveUp(_ session: String) {
    guard let half = waiting.withLock({ $0.removeValue(forKey: session) })?.take() else { return }
    logger.warning(
      "a leg came without its partner; reset",
      metadata: ["session": "\(session)", "side": "\(half.side.rawValue)", "peer": "\(half.info.peer)"])
    control.release(half.info.id, how: .reset)
  }
}
