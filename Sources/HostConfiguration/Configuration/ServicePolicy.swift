internal import DaemonSupport

extension Configuration {
  /// What becomes of a service's connections, and how many there may be.
  public struct Service: Sendable, Equatable {
    public var onExit: OnExit = .hold
    /// How long connections wait for another process of the application, ns.
    public var hold: UInt64 = 5_000_000_000
    public var connections = 100_000

    public init() {}
  }

  /// What happens when a process ends and leaves connections behind.
  public enum OnExit: String, Sendable, CaseIterable {
    /// They wait for another process of the application on this host, then end.
    case hold
    /// The pair moves to the other host, where the application goes on with them.
    case failover
    /// They end as any other connection of a dead process.
    case close
  }

  package func policy(of service: String) -> Service { services[service] ?? Service() }
}

extension Configuration.Service {
  static func read(_ table: TableReader) throws(ConfigurationError) -> (name: String, service: Self) {
    let form = "the name of a service, 1 to 64 bytes"
    guard let name = try table.string("name", expected: form) else {
      throw table.error("name", .missing(expected: form))
    }
    guard (1...64).contains(name.utf8.count) else {
      throw table.error("name", .badValue(expected: form, found: "\"\(name)\""))
    }
    var service = Self()
    if let choice = try table.choice("on_exit", Configuration.OnExit.self) { service.onExit = choice }
    if let time = try table.duration("hold", 1_000_000...3_600_000_000_000) { service.hold = time }
    if let count = try table.integer(
      "connections", 1...10_000_000, expected: "a number of connections from 1 to 10000000")
    {
      service.connections = count
    }
    return (name, service)
  }
}
