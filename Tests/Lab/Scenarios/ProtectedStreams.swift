internal import TCPModel

/// Connections of many shapes, each with a client of its own, under one capture: what becomes of each is known, and so is which of
/// them status called protected when their host died.
public final class ProtectedStreams {
  public let pair: ProtectedPair
  public let clients: [PatternClient]
  private let capture: PacketCapture
  /// Clients whose connections were not called protected when it mattered.
  private var excused: Set<String> = []
  private var strikes = Strikes()

  /// Starts the application on both hosts, and waits until all connections are protected and under way.
  /// - Parameters:
  ///   - shapes: the connections, one each. Those that are `idle` keep silent until a host has died.
  ///   - address: the service's address that they go to.
  ///   - server: options of the application.
  public init(
    _ pair: ProtectedPair,
    shapes: [Shape] = [.download, .download, .upload, .upload, .pingpong, .pingpong, .idle, .idle],
    address: String = Addresses.service4, server: [String] = []
  ) throws {
    self.pair = pair
    try pair.startServers(server)
    capture = try pair.topology.capture(bytes: 192, filter: "tcp portrange 7000-7004")
    clients = try shapes.map {
      try PatternClient(in: pair.topology.client, to: pair.service(address), shape: $0)
    }
    try waitUntilProtected(on: .alpha)
    try goOn()
  }

  /// Waits until all connections that have not been excused are protected.
  public func waitUntilProtected(on host: HostName, seconds: Double = 60) throws {
    var count = 0
    try wait(
      for: "\(clients.count) protected connections, \(count) are\(pair.explanation)", until: .seconds(seconds),
      every: 20
    ) {
      try throwFailures()
      count = try protectedPeers(on: host).subtracting(excused).count
      return count == clients.count - excused.count
    }
  }

  /// The clients of the connections that a host calls protected now.
  public func protectedPeers(on host: HostName) throws -> Set<String> {
    Set(try pair[host].connections().filter(\.protected).map(\.peer))
  }

  private func throwFailures() throws {
    let failures = clients.flatMap(\.progress.failures).filter { !Promise.isExcused($0, excused) }
    if let first = failures.first { throw LabError("\(first)\(pair.explanation)") }
  }

  /// Waits until each connection that talks, and was not excused, has come further.
  public func goOn(bytes: UInt64 = 64 * 20, seconds: Double = 60) throws {
    let marks = clients.map(\.progress.least)
    var standing: [String] = []
    try wait(for: "progress of \(standing)\(pair.explanation)", until: .seconds(seconds)) {
      try throwFailures()
      standing = zip(clients, marks).filter { client, mark in
        client.shape != .idle && client.progress.failed == 0 && client.progress.least < mark + bytes
      }.map { "\($0.0.shape)" }
      return standing.isEmpty
    }
  }

  /// Has somebody take packet rules away.
  public func strike(_ body: (Topology) throws -> Void) rethrows {
    try strikes.note { try body(pair.topology) }
  }

  /// Cuts a host off, or takes its place from it in another way, having noted which of its connections it calls protected.
  /// - Returns: how many were.
  @discardableResult
  public func leave(
    _ host: HostName, by departure: (ProtectedPair, HostName) throws -> Void = { try $0.topology.crash($1) }
  ) throws -> Int {
    let connections = try pair[host].connections()
    excused.formUnion(connections.filter { !$0.protected }.map(\.peer))
    try departure(pair, host)
    try pair.waitForTakeover(by: host.other)
    for client in clients { client.setSpeaking(true) }
    try goOn()
    return connections.count(where: \.protected)
  }

  /// Leads all streams to their end.
  /// - Returns: what is wrong with them, with the logs.
  public func end(seconds: Double = 60) throws -> [String] {
    for client in clients { client.setSpeaking(true) }
    for client in clients { client.finish(at: client.progress.least + 64 * 20) }
    let reports = try clients.map { try $0.report(until: .seconds(seconds)) }
    let check = try CaptureCheck(
      capture.stop(), isService: { (7000...7004).contains($0.port) }, mayReorder: strikes.contain)
    let violations = pair.violations(reports, check, excused: excused)
    return violations.isEmpty ? [] : violations + [pair.explanation]
  }
}
