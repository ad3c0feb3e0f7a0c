/// The daemon's summary of a takeover: one line of its log, `takeover complete` with `key=value` fields. Milliseconds since
/// the dead host was last heard; the others since then, as `HOLDFAST_CLAIMED_MS` and its like in docs/operations.md say.
public struct TakeoverSummary: Sendable {
  public let detected: Double
  public let claimed: Double
  public let probed: Double
  public let restored: Double
  public let released: Double
  /// Connections that the standby knew, that it restored, and that it could not.
  public let connections: Int
  public let restoredConnections: Int
  public let lostConnections: Int

  /// Finds the last such line in `log`; `nil` when there is none, or a field is missing.
  public init?(log: String) {
    guard let line = log.split(separator: "\n").last(where: { $0.contains("takeover complete") }) else { return nil }
    var fields: [Substring: Substring] = [:]
    for word in line.split(separator: " ") {
      guard let equals = word.firstIndex(of: "=") else { continue }
      fields[word[..<equals]] = word[word.index(after: equals)...].filter { $0 != "\"" && $0 != "," }[...]
    }
    func time(_ key: Substring) -> Double? { fields[key].flatMap { Double($0) } }
    func count(_ key: Substring) -> Int? { fields[key].flatMap { Int($0) } }
    guard let detected = time("detected_ms"), let claimed = time("claimed_ms"), let probed = time("probed_ms"),
      let restored = time("restored_ms"), let released = time("released_ms"), let connections = count("connections"),
      let restoredConnections = count("restored"), let lost = count("lost")
    else { return nil }
    self.detected = detected
    self.claimed = claimed
    self.probed = probed
    self.restored = restored
    self.released = released
    self.connections = connections
    self.restoredConnections = restoredConnections
    lostConnections = lost
  }
}
