internal import Glibc
internal import TCPModel

/// The unmodified clients of a chaos run: connections of every shape, IPv4 and IPv6, that end at some time and are opened anew.
final class ChaosTraffic {
  /// A few connections of one shape that live and end together.
  private struct Wave {
    let client: PatternClient
    var isFinishing = false
  }

  private let pair: ProtectedPair
  private var waves: [Wave] = []
  /// Opened while something is wrong: nobody has promised anything to a connection that no standby knows yet.
  private var newcomers: [PatternClient] = []

  private(set) var opened = 0
  private(set) var ended = 0
  private(set) var newcomersServed = 0
  private(set) var newcomersRefused = 0
  private(set) var received: UInt64 = 0
  private(set) var sent: UInt64 = 0
  private(set) var longestStall: UInt64 = 0
  /// Connections that were led to their end. A packet of theirs that comes late meets no socket, and is answered with a reset.
  private(set) var over: Set<Endpoint> = []
  /// Connections that were not called protected when their host died: they may have been reset, but may neither hang nor get a wrong
  /// byte.
  private(set) var excused: Set<String> = []
  /// How many of those were.
  private(set) var excusedResets = 0

  static let wavesPerShape = 2
  static let connectionsPerWave = 3

  init(_ pair: ProtectedPair) { self.pair = pair }

  private var open: Int {
    waves.reduce(0) { $0 + ($1.isFinishing ? 0 : $1.client.connections - $1.client.progress.failed) }
  }

  /// From now on nothing is promised to these clients' connections but that they do not hang.
  func excuse(_ clients: some Sequence<String>) { excused.formUnion(clients) }

  /// Opens as many connections as have ended, and waits until the standby could continue each of them.
  func replenish(active: HostName, _ dice: inout Dice) throws {
    for shape in Shape.allCases {
      while waves.count(where: { $0.client.shape == shape }) < Self.wavesPerShape {
        var options = PatternClient.Options()
        if dice.falls(0.3) { options.receiveBuffer = 16384 }
        let address = dice.falls(0.5) ? Addresses.service4 : Addresses.service6
        let client = try PatternClient(
          in: pair.topology.client, to: pair.service(address), shape: shape, connections: Self.connectionsPerWave,
          options: options)
        opened += client.connections
        waves.append(Wave(client: client))
      }
    }
    try wait(for: "\(open) protected connections", until: .seconds(60), every: 50) {
      try throwFailures()
      guard waves.allSatisfy({ $0.client.progress.connected == $0.client.connections }) else { return false }
      guard let list = try? pair[active].connections() else { return false }
      return list.count(where: \.protected) >= open
    }
  }

  /// Every connection that is open has come further since the last call: nothing hangs.
  func waitForProgress(seconds: Double) throws {
    for wave in waves where wave.client.shape == .idle { wave.client.setSpeaking(true) }
    for wave in waves { wave.client.setReading(true) }
    let marks = waves.map { $0.client.progress.least }
    try wait(for: "progress of \(standing(since: marks))", until: .seconds(seconds), every: 20) {
      try throwFailures()
      return standing(since: marks).isEmpty
    }
    for wave in waves where wave.client.shape == .idle && !wave.isFinishing { wave.client.setSpeaking(false) }
  }

  private func standing(since marks: [UInt64]) -> [String] {
    zip(waves, marks).filter { wave, mark in
      let progress = wave.client.progress
      return progress.least < mark + 320 && progress.over < wave.client.connections
    }.map { wave, mark in "\(wave.client.shape) at \(mark)\(wave.isFinishing ? " (ending)" : "")" }
  }

  /// Something that clients do at any time: end, read no more for a while, come.
  func doSomething(_ dice: inout Dice) throws {
    guard !waves.isEmpty else { return }
    let index = Int(dice.pick(0...UInt64(waves.count - 1)))
    switch dice.pick(0...9) {
    case 0...3:
      guard !waves[index].isFinishing else { return }
      waves[index].isFinishing = true
      let client = waves[index].client
      if client.shape == .idle { client.setSpeaking(true) }
      client.setReading(true)
      let isTalk = client.shape == .pingpong || client.shape == .idle
      client.finish(at: client.progress.least + dice.pick(0...200_000) / (isTalk ? 1000 : 1))
    case 4...5: if !waves[index].isFinishing { waves[index].client.setReading(false) }
    case 6: waves[index].client.setReading(true)
    case 7:
      guard waves[index].client.shape == .idle, !waves[index].isFinishing else { return }
      waves[index].client.setSpeaking(dice.falls(0.5))
    default:
      guard let other = pair.topology.server, newcomers.count < 4 else { return }
      // Whoever only waits would never find out that nobody knows it.
      newcomers.append(
        try PatternClient(in: other, to: pair.service(), shape: .upload, connections: Int(dice.pick(1...3))))
    }
  }

  /// Throws when a connection has met what it must not.
  func throwFailures() throws {
    for failure in waves.lazy.flatMap(\.client.progress.failures) where !Promise.isExcused(failure, excused) {
      throw LabError(failure)
    }
  }

  /// Waits for those that are to end, and counts them.
  func collect(seconds: Double) throws {
    for index in waves.indices.reversed() {
      let client = waves[index].client
      // Of one all of whose connections have been reset nothing is left.
      guard waves[index].isFinishing || client.progress.over == client.connections else { continue }
      try count(waves[index].client.report(until: .seconds(seconds)))
      waves.remove(at: index)
    }
    for newcomer in newcomers { try dismiss(newcomer) }
    newcomers = []
  }

  private func count(_ report: PatternClient.Report) throws {
    if let failure = report.failures.first(where: { !Promise.isExcused($0, excused) }) { throw LabError(failure) }
    excusedResets += report.failures.count
    ended += report.outcomes.count - report.failures.count
    over.formUnion(report.outcomes.compactMap(\.client))
    received += report.received
    sent += report.sent
    longestStall = max(longestStall, report.longestStall)
  }

  /// A newcomer may have been turned away, but not be kept waiting, nor get a wrong byte.
  private func dismiss(_ client: PatternClient) throws {
    let mark = client.progress.least
    try wait(for: "a newcomer's \(client.shape) to go on or be refused", until: .seconds(60), every: 20) {
      let progress = client.progress
      return progress.over == client.connections || progress.least > mark || progress.failed > 0
    }
    client.finish()
    let report = try client.report(until: .seconds(60))
    for outcome in report.outcomes {
      guard let failure = outcome.failure else {
        newcomersServed += 1
        continue
      }
      newcomersRefused += 1
      let isOrderly = ["reset", "refused", "timed out", "unreachable", "No route", "Broken pipe", "ended the stream"]
        .contains {
          failure.contains($0)
        }
      guard isOrderly else { throw LabError("a newcomer: \(failure)") }
    }
  }

  /// Leads everything to its end.
  func finish(seconds: Double) throws {
    for index in waves.indices {
      let client = waves[index].client
      client.setReading(true)
      if client.shape == .idle { client.setSpeaking(true) }
      client.finish(at: client.progress.least)
      waves[index].isFinishing = true
    }
    try collect(seconds: seconds)
  }

  /// Gives everything up.
  func abandon() {
    for wave in waves { wave.client.stop() }
    for newcomer in newcomers { newcomer.stop() }
  }
}
