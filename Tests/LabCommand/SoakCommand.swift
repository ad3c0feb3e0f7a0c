internal import ArgumentParser
internal import Lab

/// `holdfast-lab soak`.
struct SoakCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "soak", abstract: "Crashes the active host again and again, at random instants, under every shape.")

  @Option(help: "Crashes per shape; 0 for the exactly-once application alone.") var crashes = 50
  @Option(help: "Connections at once.") var connections = 20
  @Option(help: "Crashes under the exactly-once application, with 100 connections each.") var exactlyOnce = 10
  @Option(help: "dead_after of the daemons: more than the default where other work makes the machine late.")
  var deadAfter = "200ms"
  @Option(help: "One shape alone: download, upload, both, pingpong, idle.") var shape: String?
  @Flag(help: "Instead: crashes of the proxy's hosts, one after the other, under the same sessions from first to last.")
  var proxy = false

  func validate() throws {
    guard crashes >= (proxy || exactlyOnce == 0 ? 1 : 0), connections > 0, exactlyOnce >= 0 else {
      throw ValidationError("crashes and connections must be positive")
    }
    guard shape == nil || shape.flatMap(Shape.init(rawValue:)) != nil else {
      throw ValidationError("\(shape ?? "") is no shape")
    }
  }

  func run() throws {
    if proxy { return try soakProxy() }
    let shapes = shape.flatMap(Shape.init(rawValue:)).map { [$0] } ?? Shape.allCases
    var violations = 0
    for shape in shapes where crashes > 0 {
      var stalls: [UInt64] = []
      for round in 1...crashes {
        var scenario = Failover(shape: shape, connections: connections)
        scenario.daemon.deadAfter = deadAfter
        scenario.address = round % 2 == 0 ? Addresses.service6 : Addresses.service4
        scenario.crashAfter = .random(in: 1...scenario.crashAfter)
        do {
          let outcome = try scenario.run()
          stalls.append(outcome.report.longestStall)
          for violation in outcome.violations {
            violations += 1
            print("\(shape) \(round): \(violation)")
          }
        } catch {
          violations += 1
          print("\(shape) \(round): \(error)")
        }
      }
      stalls.sort()
      let middle = stalls.isEmpty ? 0 : stalls[stalls.count / 2] / 1_000_000
      print(
        "\(shape): \(crashes) crashes, \(connections) connections each, longest stall p50 \(middle) ms, worst \((stalls.last ?? 0) / 1_000_000) ms"
      )
    }
    if shape == nil { violations += exactlyOnceViolations() }
    print("\(violations) violations")
    if violations > 0 { throw ExitCode.failure }
  }

  private func soakProxy() throws {
    let outcome = try ProxySoak(crashes: crashes, connections: connections).run { print("crash \($0) survived") }
    for violation in outcome.violations { print(violation) }
    let stalls = outcome.stalls.map { $0 / 1_000_000 }.sorted()
    print(
      "proxy: \(outcome.crashes) crashes in turn under \(connections * Shape.allCases.count) sessions, \(outcome.bytes >> 20) MiB "
        + "compared; from a crash until all streams had gone on p50 \(stalls.isEmpty ? 0 : stalls[stalls.count / 2]) ms, worst \(stalls.last ?? 0) ms"
    )
    print("\(outcome.violations.count) violations")
    if !outcome.violations.isEmpty { throw ExitCode.failure }
  }

  /// An application whose output depends on all of its input shows its peers what it would show without crashes.
  private func exactlyOnceViolations() -> Int {
    var violations = 0
    var checkpoints = 0
    for round in 1..<exactlyOnce + 1 {
      do {
        var scenario = ExactlyOnce(connections: 100)
        scenario.daemon.deadAfter = deadAfter
        let outcome = try scenario.run()
        checkpoints += outcome.checkpoints
        for violation in outcome.violations {
          violations += 1
          print("exactly once \(round): \(violation)")
        }
      } catch {
        violations += 1
        print("exactly once \(round): \(error)")
      }
    }
    print("exactly once: \(exactlyOnce * 100) connections crashed, \(checkpoints) checkpoints before")
    return violations
  }
}
