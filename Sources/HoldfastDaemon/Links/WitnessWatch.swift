internal import LinuxNetwork
internal import SystemCalls
internal import TCPModel

/// Asks witnesses again and again whether they answer. A host that is cut off behind the next switch has a carrier, and no neighbours.
struct WitnessWatch {
  private let probe: AddressProbe
  private var silence: WitnessSilence
  private var nextRound: UInt64 = 0
  /// The last question could be put.
  private var isAsked = false

  /// Between two questions, ns.
  private static let interval: UInt64 = 250_000_000
  /// ns without an answer that say nothing yet: of four questions in a row one arrives.
  private static let shortestSilence: UInt64 = 1_000_000_000

  init(_ witnesses: [IPAddress], onLinksOf addresses: [ServiceAddress], patience: UInt64) {
    probe = AddressProbe(for: witnesses, onLinksOf: addresses)
    silence = WitnessSilence(witnesses, limit: max(patience, Self.shortestSilence))
  }

  /// - Returns: all witnesses when none of them has answered for too long; otherwise nil.
  mutating func look(observed: UInt64, now: UInt64) -> [IPAddress]? {
    if isAsked { probe.receive() }
    let answered = isAsked ? Set(silence.witnesses).subtracting(probe.silent) : []
    defer { ask(now) }
    return silence.look(answered: answered, observed: observed) ? silence.witnesses : nil
  }

  /// A question that cannot be put, since the link is down or gone, is one that nobody answers.
  private mutating func ask(_ now: UInt64) {
    guard now >= nextRound else { return }
    nextRound = now + Self.interval
    do throws(SystemCallError) {
      try probe.begin()
      try probe.send()
      isAsked = true
    } catch {
      isAsked = false
    }
  }
}

/// For how long no witness has answered. One that has never answered tells nothing: its address may be wrong.
struct WitnessSilence {
  let witnesses: [IPAddress]
  /// ns.
  private let limit: UInt64
  /// Observed ns; nil before the first answer.
  private var silence: UInt64?

  init(_ witnesses: [IPAddress], limit: UInt64) {
    self.witnesses = witnesses
    self.limit = limit
  }

  /// - Parameters:
  ///   - answered: who has answered since the last question.
  ///   - observed: ns since the last look in which this host ran.
  /// - Returns: whether all of them have been silent for too long.
  mutating func look(answered: Set<IPAddress>, observed: UInt64) -> Bool {
    guard answered.isEmpty else {
      silence = 0
      return false
    }
    guard let before = silence else { return false }
    silence = before + observed
    return before + observed >= limit
  }
}
