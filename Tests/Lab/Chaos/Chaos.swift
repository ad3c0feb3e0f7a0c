internal import Glibc

/// Real daemons under real traffic through a random sequence of faults, for as long as asked: `make chaos`.
///
/// The seed decides which faults come in which order; instants are those of the machine, so a run cannot be had again exactly.
public struct Chaos {
  public var seconds: Double
  public var seed: UInt64
  /// Faults before hosts with another configuration are made.
  public var roundsPerEra = 12
  /// Where the evidence of violations goes.
  public var folder: String
  /// One fault alone.
  public var only: Fault?
  /// One policy alone.
  public var policy: String?
  /// Is told what happens.
  public var say: (String) -> Void = { _ in }

  public init(seconds: Double, seed: UInt64, folder: String) {
    self.seconds = seconds
    self.seed = seed
    self.folder = folder
  }

  public struct Report {
    fileprivate var counts: [String: Int] = [:]
    public fileprivate(set) var eras = 0
    public fileprivate(set) var takeovers = 0
    public fileprivate(set) var fenced = 0
    public fileprivate(set) var opened = 0
    public fileprivate(set) var ended = 0
    /// Connections that were reset, and were not called protected when their host died.
    public fileprivate(set) var excused = 0
    public fileprivate(set) var newcomersServed = 0
    public fileprivate(set) var newcomersRefused = 0
    public fileprivate(set) var received: UInt64 = 0
    public fileprivate(set) var sent: UInt64 = 0
    public fileprivate(set) var packets = 0
    /// KiB, of any daemon.
    public fileprivate(set) var largestResidentSet = 0
    public fileprivate(set) var violations: [String] = []

    public var faults: Int { counts.values.reduce(0, +) }

    public var description: String {
      let table = counts.sorted { $0.key < $1.key }.map { "  \($0.value) × \($0.key)" }.joined(separator: "\n")
      return """
        \(faults) faults, \(eras) pairs of hosts
        \(table)
        \(takeovers) takeovers, \(fenced) hosts fenced
        \(opened) protected connections, \(ended) led to their end and compared byte for byte: \(received) bytes received, \(sent) sent
        \(excused) were reset that no host called protected when it died
        \(newcomersServed) connections opened during a fault were served, \(newcomersRefused) turned away
        \(packets) packets in the captures; a daemon took at most \(largestResidentSet / 1024) MiB
        \(violations.count) violations
        """
    }
  }

  public func run() -> Report {
    var report = Report()
    var dice = Dice(seed: seed)
    let deadline = Deadline.seconds(seconds)
    while !deadline.hasPassed {
      report.eras += 1
      let eraSeed = dice.next()
      var era: ChaosEra?
      do {
        let current = try ChaosEra(Dice(seed: eraSeed), policy: policy, only: only)
        era = current
        say("\(TimeOfDay.now) hosts \(report.eras): \(current.setting)")
        for _ in 0..<roundsPerEra where !deadline.hasPassed {
          let fault = pick(current, &dice)
          let before = current.journal.count
          defer { for line in current.journal[before...] { say("  \(line)") } }
          try current.round(fault)
          report.counts[fault.rawValue, default: 0] += 1
        }
        try current.finish()
      } catch {
        let place = "\(folder)/seed-\(seed)-hosts-\(report.eras)"
        report.violations.append("hosts \(report.eras): \(error) (evidence: \(place))")
        say("\(TimeOfDay.now) VIOLATION: \(error)")
        era?.keepEvidence(in: place, reason: "\(era?.setting.description ?? "")\n\(error)")
      }
      if let era { report.add(era) }
    }
    return report
  }

  private func pick(_ era: ChaosEra, _ dice: inout Dice) -> Fault {
    if let only { return only }
    let possible = Fault.allCases.filter { $0.isCovered(by: era.setting) }
    var place = dice.pick(0...possible.reduce(0) { $0 + $1.weight } - 1)
    for fault in possible {
      if place < fault.weight { return fault }
      place -= fault.weight
    }
    return .switchover
  }
}

extension Chaos.Report {
  fileprivate mutating func add(_ era: ChaosEra) {
    takeovers += era.takeovers
    fenced += era.fenced
    packets += era.packets
    largestResidentSet = max(largestResidentSet, era.largestResidentSet)
    opened += era.traffic.opened
    ended += era.traffic.ended
    excused += era.traffic.excusedResets
    newcomersServed += era.traffic.newcomersServed
    newcomersRefused += era.traffic.newcomersRefused
    received += era.traffic.received
    sent += era.traffic.sent
  }
}
