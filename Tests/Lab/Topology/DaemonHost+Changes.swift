internal import Glibc

/// What an operator does to a host.
extension DaemonHost {
  /// Edits the configuration, which is in force from the next start on.
  public func edit(replacing old: String, with new: String) throws {
    let text = try Files.read(configurationPath)
    guard let place = text.firstRange(of: old) else { throw LabError("\(name)'s configuration has no \(old)") }
    try Files.write(text.replacingCharacters(in: place, with: new), to: configurationPath)
  }

  /// What a service manager does when the daemon has failed for good (ExecStopPost).
  public func fence() throws {
    try Tool.run(Products.path(of: "holdfastctl"), ["fence", "--config", configurationPath], in: namespace)
  }

  /// Moves a pair to the other host.
  /// - Throws: what the daemon says against it.
  public func switchOver(pair: String = "web") throws {
    try Tool.run(Products.path(of: "holdfastctl"), ["switchover", pair, "--socket", controlPath], in: namespace)
  }

  /// Stops the daemon in order and starts it again.
  public func restart() throws {
    process?.stop()
    try start()
  }

  /// What a service manager does that is asked to restart the service and keeps the connections; it must be managed.
  /// - Parameter meanwhile: done while no daemon runs.
  public func restartWithConnections(meanwhile: () throws -> Void = {}) throws {
    guard let process, manager != nil else { throw LabError("\(name)'s daemon has no service manager") }
    process.signal(SIGUSR2)
    let status = try process.wait(until: .seconds(20))
    guard status == 0 else { throw LabError("\(name)'s daemon ended with status \(status): \(log)") }
    try meanwhile()
    try start()
  }

  /// The daemon crashes, and its service manager starts it again.
  /// - Parameter meanwhile: done while no daemon runs: a manager that fences first has to.
  public func crashAndRestart(meanwhile: () throws -> Void = {}) throws {
    guard let process else { throw LabError("\(name)'s daemon does not run") }
    process.kill()
    _ = try process.wait(until: .seconds(20))
    try meanwhile()
    try start()
  }
}

extension String {
  fileprivate func replacingCharacters(in range: Range<Index>, with text: String) -> String {
    self[..<range.lowerBound] + text + self[range.upperBound...]
  }
}
