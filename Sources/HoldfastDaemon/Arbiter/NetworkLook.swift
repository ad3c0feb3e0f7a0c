internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import SystemCalls
internal import TCPModel

/// The network as a pair's arbiter, where there is no other: nobody else may answer for the service addresses, and every
/// configured witness has to. It cannot tell two hosts that are cut off from each other on every way; a witness can tell which
/// of them is cut off from the rest.
final class NetworkLook: Arbiter {
  private let probe: AddressProbe
  /// Through a link without carrier nobody is seen, whoever is there. nil where links are not tracked.
  private let links: LinkWatch?
  private let loop: EventLoop
  private var timer: Timer?
  private var open: (question: PairMachine.Question, completion: (PairMachine.Answer) -> Void)?
  private var begun: UInt64 = 0
  private var rounds = 0

  /// For how long answers are waited for, ns: a neighbour's takes less than a millisecond.
  private static let time: UInt64 = 50_000_000
  /// When it is asked again, ns after the beginning: one packet may be lost.
  private static let schedule: [UInt64] = [0, 10_000_000, 25_000_000]
  private static let step: UInt64 = 5_000_000

  let asks: PairMachine.Asks
  let problem: String? = nil
  var onPermissionEnded: (() -> Void)?
  var onProblem: ((String?) -> Void)?

  /// - Parameter links: the pair's own, which looks all the time; nil where links are not tracked.
  init(_ configuration: Configuration.Pair, links: LinkWatch?, loop: EventLoop) throws(SystemCallError) {
    probe = AddressProbe(configuration.addresses, witnesses: configuration.solo.witnesses)
    self.links = links
    self.loop = loop
    let heartbeat = configuration.heartbeat
    asks = .network(lead: min(Self.time + heartbeat.interval, heartbeat.deadAfter / 2))
    timer = try loop.addTimer(
      priority: LoopPriority.control, description: "look at the network for \(configuration.name)"
    ) { [weak self] in self?.look() }
  }

  func start() {}
  func stop() { timer?.disarm() }
  func speaksAlone(_ alone: Bool) {}

  func ask(_ question: PairMachine.Question, completion: @escaping (PairMachine.Answer) -> Void) {
    open = (question, completion)
    begun = MonotonicClock.now
    rounds = 0
    do throws(SystemCallError) {
      try probe.begin()
    } catch {
      return answer(.unavailable(reason: "cannot look at the network: \(error)"))
    }
    look()
  }

  private func look() {
    guard let open else { return }
    probe.receive()
    let now = MonotonicClock.now
    if let (address, owner) = probe.answered.min(by: { "\($0.key)" < "\($1.key)" }) {
      return answer(.refused(reason: "somebody else answers for \(address)\(owner.isEmpty ? "" : ", at \(owner)")"))
    }
    if let blindness = links?.blindness(now: now) {
      return answer(.unavailable(reason: "cannot look at the network: \(blindness)"))
    }
    if now >= begun + Self.time {
      let silent = probe.silent.map { "\($0)" }.sorted()
      return answer(
        silent.isEmpty
          ? .granted(epoch: open.question.epoch)
          : .refused(reason: "witnesses do not answer: \(silent.joined(separator: ", "))"))
    }
    if rounds < Self.schedule.count, now >= begun + Self.schedule[rounds] {
      rounds += 1
      do throws(SystemCallError) {
        try probe.send()
      } catch {
        return answer(.unavailable(reason: "cannot look at the network: \(error)"))
      }
    }
    timer?.set(at: now + Self.step)
  }

  private func answer(_ answer: PairMachine.Answer) {
    timer?.disarm()
    let completion = open?.completion
    open = nil
    completion?(answer)
  }
}
