internal import Glibc
internal import Lab
internal import LinuxNetwork
internal import SystemCalls
internal import TCPModel

/// What an application waits for: the registration of ten thousand connections beside their making, and how long a peer waits for the
/// end of one that is closed plainly, without a word to the daemon.
struct ApplicationBench {
  let repetitions: Int
  private static let connections = 10_000
  private static let closes = 20
  private static let port: UInt16 = 7150
  /// Milliseconds: "a few seconds", and a second.
  private static let limits = (register: 5000.0, close: 1000.0)

  func run(_ report: inout BenchReport) throws {
    try ResourceLimits.raiseDescriptors()
    // Whether a service manager keeps each socket for a daemon that crashes.
    var times: [Bool: [(made: Double, registered: Double)]] = [:]
    for _ in 0..<repetitions {
      for isKept in [false, true] { times[isKept, default: []].append(try register(isKept)) }
    }
    report.add(
      "\(Self.connections) connections, ms", columns: ["p50", "worst", "to make them", "ratio"],
      [false, true].map { isKept in
        let registered = (times[isKept] ?? []).map(\.registered)
        let made = (times[isKept] ?? []).map(\.made)
        let middle = Measurements.middle(registered)
        return (
          [
            isKept ? "register, and keep for the next daemon" : "register", Measure.rounded(middle, 1),
            Measure.rounded(registered.max() ?? .nan, 1), Measure.rounded(Measurements.middle(made), 1),
            Measure.rounded(Measurements.middle(zip(registered, made).map { $0 / $1 }), 100),
          ], "≤ \(Int(Self.limits.register))", middle <= Self.limits.register
        )
      })
    var lines: [(cells: [String], target: String, isMet: Bool)] = []
    for held in [0, 3000] {
      let times = try close(held)
      let worst = times.max() ?? .nan
      lines.append(
        (
          [
            "beside \(held) others", Measure.rounded(Measurements.middle(times), 1), Measure.rounded(worst, 1),
          ], "≤ \(Int(Self.limits.close))", worst <= Self.limits.close
        ))
    }
    report.add("from a plain close to the peer's end of stream, ms", columns: ["p50", "worst"], lines)
  }

  /// Peers that do nothing, in a process of their own: two descriptors for each connection are more than one may have everywhere.
  private func peers(_ count: Int, _ topology: Topology) throws -> LabProcess {
    let script = """
      import resource, signal, socket, time
      limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
      resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
      start = time.monotonic()
      peers = [socket.create_connection(("\(Addresses.service4)", \(Self.port))) for _ in range(\(count))]
      print(1000 * (time.monotonic() - start), flush=True)
      signal.pause()
      """
    return try LabProcess.start("python3", ["-c", script], in: topology.client)
  }

  private func accept(_ count: Int, at listener: TCPSocket) throws -> [TCPSocket] {
    var accepted: [TCPSocket] = []
    try wait(for: "\(count) connections", until: .seconds(60), every: 1) {
      while accepted.count < count, let socket = try listener.accept() { accepted.append(socket) }
      return accepted.count == count
    }
    return accepted
  }

  /// Sends all calls without waiting for answers, as the interface allows.
  private func register(_ sockets: [TCPSocket], _ control: ControlClient) throws {
    let sender = try DedicatedThread {
      for socket in sockets {
        try? control.send("Register", RegisterParameters(service: "bench"), descriptors: [socket.number])
      }
    }
    for _ in sockets {
      let result: RegisterResult = try control.receive()
      guard result.protected else { throw LabError("not protected: \(result.reason ?? "no reason given")") }
    }
    sender.join()
  }

  /// - Returns: milliseconds for all, to connect and to register.
  private func register(_ isKept: Bool) throws -> (made: Double, registered: Double) {
    var options = DaemonHost.Options()
    options.isManaged = isKept
    let pair = try ProtectedPair(options: options)
    let listener = try pair.alpha.namespace.run { try TCPSocket.listen(on: Endpoint("0.0.0.0", Self.port)) }
    let peers = try peers(Self.connections, pair.topology)
    let sockets = try accept(Self.connections, at: listener)
    try wait(for: "the peers' time", until: .seconds(20)) { peers.standardOutput.contains("\n") }
    guard let made = Double(peers.standardOutput.trimmed) else { throw LabError("\(peers.standardError)") }
    let start = monotonicNow()
    try register(sockets, pair.alpha.control())
    return (made, Double(monotonicNow() - start) / 1e6)
  }

  /// - Parameter held: connections that stay open meanwhile.
  /// - Returns: milliseconds, of each close.
  private func close(_ held: Int) throws -> [Double] {
    let pair = try ProtectedPair()
    let listener = try pair.alpha.namespace.run { try TCPSocket.listen(on: Endpoint("0.0.0.0", Self.port)) }
    let peers = try peers(held, pair.topology)
    let others = try accept(held, at: listener)
    try register(others, pair.alpha.control())
    var times: [Double] = []
    for _ in 0..<Self.closes {
      let peer = try pair.topology.client.run {
        try TCPSocket.connect(to: Endpoint(Addresses.service4, Self.port))
      }
      let started: UInt64
      do {
        let server = try accept(1, at: listener)
        try register(server, pair.alpha.control())
        // Where the application holds it is known by then, as in one that has had its connection for a while; and closes come at any moment.
        usleep(1_000_000 + .random(in: 0...300_000))
        started = monotonicNow()
        withExtendedLifetime(server) {}
      }
      var byte: UInt8 = 0
      try wait(for: "the end of the stream", until: .seconds(20), every: 1) {
        try withUnsafeMutableBytes(of: &byte) { try peer.read(into: $0) } == 0
      }
      times.append(Double(monotonicNow() - started) / 1e6)
    }
    withExtendedLifetime((peers, others)) {}
    return times
  }
}
