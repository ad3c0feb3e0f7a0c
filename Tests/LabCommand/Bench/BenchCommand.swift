internal import ArgumentParser
internal import Lab

/// `holdfast-lab bench`.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract:
      "Measures plain TCP, a bare gate and Holdfast side by side, the stall after a crash, and what restoring and registering take.",
    discussion: "The exit status is 0 when everything was measured, whether or not all targets are met.")

  enum Part: String, CaseIterable, ExpressibleByArgument {
    case traffic, stall, restore, applications, proxy
  }

  @Option(help: "Rounds in which all subjects are measured in turn.") var rounds = 7
  @Option(help: "Seconds of each measurement.") var seconds = 0.5
  @Option(help: "Crashes for each kind of traffic.") var crashes = 5
  @Option(help: "How many connections to restore; can be repeated.") var connections = [1000, 5000]
  @Option(help: "Measure only this part (traffic, stall, restore, applications, proxy); can be repeated.") var only:
    [Part] =
      []
  @Option(help: "Only this congestion control; can be repeated. The default is cubic, and bbr if the kernel has it.")
  var congestion: [String] = []
  @Flag(help: "Measure Holdfast with TLS on the replication channel, too, beside plaintext.") var tls = false
  @Option(help: "A folder with another build of holdfastd, to be measured beside this one.") var before: String?
  @Option(help: "A folder for the tables.") var output = ".build/bench"

  func validate() throws {
    guard rounds > 0, seconds > 0, crashes > 0, connections.allSatisfy({ $0 > 0 }) else {
      throw ValidationError("rounds, seconds, crashes and connections must be positive")
    }
  }

  func run() throws {
    let parts = only.isEmpty ? Part.allCases : only
    var report = BenchReport(rounds: rounds, seconds: seconds)
    print(report.text)
    func shown(_ change: (inout BenchReport) throws -> Void) throws {
      let start = report.text.endIndex
      try change(&report)
      print(report.text[start...], terminator: "")
    }
    if parts.contains(.traffic) {
      let controls = try controls()
      try shown { try traffic(controls, &$0) }
    }
    if parts.contains(.proxy) { try shown { try proxies(&$0) } }
    if parts.contains(.stall) { try shown { try StallBench(crashes: crashes).run(&$0) } }
    if parts.contains(.restore) {
      try shown { try RestoreBench(connections: connections, repetitions: min(rounds, 3)).run(&$0) }
    }
    if parts.contains(.applications) { try shown { try ApplicationBench(repetitions: min(rounds, 3)).run(&$0) } }
    try shown {
      $0.note(
        $0.missed.isEmpty ? "All targets are met." : "Targets that are not met: \($0.missed.joined(separator: "; ")).")
    }
    try Files.makeFolders(output)
    try Files.write(report.text, to: "\(output)/bench.md")
    print("\nThe tables: \(output)/bench.md")
  }

  /// What the kernel offers of the two that most hosts have.
  private func controls() throws -> [String] {
    let available = try Files.read("/proc/sys/net/ipv4/tcp_available_congestion_control").trimmed.split(separator: " ")
    let wanted = congestion.isEmpty ? ["cubic", "bbr"] : congestion
    for missing in wanted where !available.contains(Substring(missing)) {
      print("This kernel has no \(missing): skipped.")
    }
    return wanted.filter { available.contains(Substring($0)) }
  }

  private func traffic(_ controls: [String], _ report: inout BenchReport) throws {
    let (names, numbers) = try measure(controls, subjects)
    if !names.contains("HAProxy") {
      report.note("HAProxy is not installed (apt-get install haproxy): its column is left out.")
    }
    for (control, name) in controls.enumerated() { report.add(name, Array(zip(names, numbers[control]))) }
  }

  /// What stands in front of a server, and what it is beside the one that everybody has.
  private func proxies(_ report: inout BenchReport) throws {
    // The legs that a proxy opens itself have the host's default in any case.
    let controls = Array(try controls().prefix(1))
    let (names, numbers) = try measure(controls) {
      guard let haproxy = try Subject.haproxy(), let splicing = try Subject.haproxy(splicing: true) else {
        throw LabError("HAProxy is not installed: apt-get install haproxy")
      }
      return [try Subject.plain(), haproxy, splicing, try Subject.proxy(), try Subject.protectedProxy()]
    }
    for (control, name) in controls.enumerated() {
      report.add(name, Array(zip(names, numbers[control])), comparedWith: "HAProxy")
    }
  }

  private func measure(
    _ controls: [String], _ subjects: () throws -> [Subject]
  ) throws -> (names: [String], numbers: [[Measurements]]) {
    var names: [String] = []
    var numbers: [[Measurements]] = []
    for round in 1...rounds {
      // Anew in each round: how the scheduler places processes stays as it is for as long as they live.
      let subjects = try subjects()
      if numbers.isEmpty {
        names = subjects.map(\.name)
        numbers = controls.map { _ in subjects.map { _ in Measurements() } }
      }
      for (control, name) in controls.enumerated() {
        // Each round begins with another one, so that none always follows the same.
        for turn in subjects.indices {
          let index = (turn + round) % subjects.count
          try numbers[control][index].add(subjects[index], name, seconds: seconds)
        }
      }
    }
    return (names, numbers)
  }

  private func subjects() throws -> [Subject] {
    var subjects = [try Subject.plain(), try Subject.referenceGate(), try Subject.holdfast()]
    if tls { subjects.append(try Subject.holdfast(security: .tls())) }
    if let before { subjects.append(try Subject.holdfast(folder: before)) }
    if let proxy = try Subject.haproxy() { subjects.append(proxy) }
    return subjects
  }
}
