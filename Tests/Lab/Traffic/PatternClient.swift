internal import Glibc
internal import Synchronization
public import TCPModel

/// Many connections of one shape from one namespace, on a thread of its own, each byte of them checked.
public final class PatternClient: Sendable {
  /// How the connections are made and watched.
  public struct Options: Sendable {
    /// Connections that may be on their way to being established at once.
    public var opening = 100
    /// TCP_MAXSEG of the client.
    public var maximumSegment: Int32?
    /// SO_RCVBUF of the client: a small one makes a window that closes soon.
    public var receiveBuffer: Int32?
    public var keepsRoundTrips = false
    /// Bytes after which a connection is ended; without one it goes on until `finish`.
    public var goal: UInt64?

    public init() {}
  }

  /// How far all connections have come, together.
  public struct Progress: Sendable {
    public var connected = 0
    public var over = 0
    public var failed = 0
    public var received: UInt64 = 0
    public var sent: UInt64 = 0
    /// Of the connection that is furthest behind, of those that have not failed.
    public var least: UInt64 = 0
    public var failures: [String] = []
    public var firstFailure: String? { failures.first }
  }

  /// One connection's end.
  public struct Outcome: Sendable {
    public let client: Endpoint?
    public let shape: Shape
    public let received: UInt64
    public let sent: UInt64
    public let failure: String?
    /// Nanoseconds.
    public let longestStall: UInt64
    /// When it began, by the monotonic clock.
    public let stalledSince: UInt64
  }

  public struct Report: Sendable {
    public let outcomes: [Outcome]
    public let throughput: Throughput
    /// Nanoseconds, all connections'.
    public let roundTrips: [UInt64]

    public var failures: [String] { outcomes.compactMap(\.failure) }
    public var received: UInt64 { outcomes.reduce(0) { $0 + $1.received } }
    public var sent: UInt64 { outcomes.reduce(0) { $0 + $1.sent } }
    /// Nanoseconds; the longest of any connection.
    public var longestStall: UInt64 { outcomes.map(\.longestStall).max() ?? 0 }
  }

  private struct Commands {
    var goal: UInt64?
    var finish = false
    var stop = false
    var reading = true
    var marks = 0
    var speaking: Bool
  }

  private let commands: Mutex<Commands>
  private let state = Mutex(Progress())
  private let result = Mutex<Result<Report, any Error>?>(nil)
  public let shape: Shape
  public let connections: Int

  /// Starts to connect.
  /// - Parameter service: the server's first port: the shape decides which one is used.
  public init(
    in namespace: Namespace, to service: Endpoint, shape: Shape, connections: Int = 1, options: Options = Options()
  ) throws {
    self.shape = shape
    self.connections = connections
    commands = Mutex(Commands(goal: options.goal, speaking: shape != .idle))
    let port = Endpoint(address: service.address, port: service.port + shape.portOffset)
    _ = try DedicatedThread { [self] in
      let outcome = Result {
        try namespace.enter()
        return try Run(self, service: port, options: options).run()
      }
      result.withLock { $0 = outcome }
    }
  }

  public var progress: Progress { state.withLock { $0 } }

  /// Has the connections end once each of them has come to `bytes`; at once without.
  public func finish(at bytes: UInt64 = 0) {
    commands.withLock {
      $0.finish = true
      $0.goal = bytes
    }
  }

  /// Whether the client reads: one that does not closes its window.
  public func setReading(_ reading: Bool) { commands.withLock { $0.reading = reading } }

  /// Whether an idle client sends requests.
  public func setSpeaking(_ speaking: Bool) { commands.withLock { $0.speaking = speaking } }

  /// Forgets the stalls of before: those that are reported reach beyond now.
  public func forgetStalls() { commands.withLock { $0.marks += 1 } }

  /// Gives up on what is still open, which is then reported as failed.
  public func stop() { commands.withLock { $0.stop = true } }

  /// Waits for all connections to be over.
  public func report(until deadline: Deadline) throws -> Report {
    do {
      try wait(for: "\(connections) \(shape) connections to end", until: deadline) { result.withLock { $0 != nil } }
    } catch {
      // The report of what did not end says more than that it did not.
      stop()
      try wait(for: "the client to stop", until: .seconds(10)) { result.withLock { $0 != nil } }
    }
    guard let result = result.withLock({ $0 }) else { throw LabError("the client gave no report") }
    return try result.get()
  }

  /// The thread's own part.
  private final class Run {
    private let client: PatternClient
    private let service: Endpoint
    private let options: Options
    private let poller: Poller
    private var connections: [Int32: ClientConnection] = [:]
    private var over: [ClientConnection] = []
    private var opened = 0
    private var opening = 0
    private var sweptAt: UInt64 = 0
    private var throughput = Throughput(start: monotonicNow())
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 17, alignment: 64)

    init(_ client: PatternClient, service: Endpoint, options: Options) throws {
      self.client = client
      self.service = service
      self.options = options
      poller = try Poller()
    }

    deinit { buffer.deallocate() }

    func run() throws -> Report {
      var commands = client.commands.withLock { $0 }
      while over.count < client.connections && !commands.stop {
        try open()
        try poller.wait(milliseconds: 2) { number, event in try handle(number, event, commands) }
        let now = client.commands.withLock { $0 }
        if now.marks != commands.marks {
          for connection in connections.values { connection.forgetStalls() }
        } else if now.reading != commands.reading || now.speaking != commands.speaking {
          restartMeters()
        }
        commands = now
        try sweep(commands)
      }
      for connection in Array(connections.values) {
        connection.fail("not over after \(connection.received) bytes received, \(connection.sent) sent")
        retire(connection)
      }
      sweptAt = 0
      try sweep(commands)
      return Report(
        outcomes: over.map {
          Outcome(
            client: $0.endpoint, shape: $0.shape, received: $0.received, sent: $0.sent, failure: $0.failure,
            longestStall: $0.meter.longest, stalledSince: $0.meter.longestSince)
        }, throughput: throughput, roundTrips: over.flatMap(\.roundTrips))
    }

    private func restartMeters() {
      let now = monotonicNow()
      for connection in connections.values { connection.restartMeter(at: now) }
    }

    private func open() throws {
      while opened < client.connections, opening < options.opening {
        let socket = try TCPSocket.connect(
          to: service, maximumSegment: options.maximumSegment, receiveBuffer: options.receiveBuffer)
        opened += 1
        opening += 1
        connections[socket.number] = ClientConnection(
          socket: socket, shape: client.shape, service: service, keepsRoundTrips: options.keepsRoundTrips)
        try poller.watch(socket.number, for: .write)
      }
    }

    private func handle(_ number: Int32, _ event: Poller.Interest, _ commands: Commands) throws {
      guard let connection = connections[number] else { return }
      let now = monotonicNow()
      if !connection.connected {
        try connection.becameWritable(at: now)
        opening -= 1
      }
      var moved = 0
      if event.contains(.write) { moved += connection.write(with: buffer, speaking: commands.speaking, at: now) }
      if !event.isDisjoint(with: [.read, .broken]) { moved += connection.read(into: buffer, at: now) }
      throughput.add(moved, at: now)
      // An answer is here: the next request goes out without another turn of the loop.
      if connection.shape == .pingpong, commands.goal == nil {
        _ = connection.write(with: buffer, speaking: commands.speaking, at: now)
      }
      try look(connection, commands)
    }

    /// Moves a connection on after something happened to it.
    private func look(_ connection: ClientConnection, _ commands: Commands) throws {
      if let goal = commands.goal, connection.hasReached(goal) { connection.finish() }
      if connection.isOver { return retire(connection) }
      // A socket that was reset is reported at once even if it is not read from.
      let interest = connection.interest(reading: commands.reading, speaking: commands.speaking)
      try poller.watch(connection.socket.number, for: interest)
    }

    private func retire(_ connection: ClientConnection) {
      poller.forget(connection.socket.number)
      connections[connection.socket.number] = nil
      over.append(connection)
    }

    /// Commands may have changed what a connection waits for. Then the sum is published.
    private func sweep(_ commands: Commands) throws {
      // With a thousand connections this costs more than what the packets of the meantime do.
      let now = monotonicNow()
      guard now - sweptAt > 5_000_000 || over.count == client.connections else { return }
      sweptAt = now
      for connection in Array(connections.values) { try look(connection, commands) }
      var progress = Progress()
      var least = opened < client.connections ? 0 : UInt64.max
      for connection in Array(connections.values) + over {
        progress.connected += connection.connected ? 1 : 0
        progress.received += connection.received
        progress.sent += connection.sent
        if connection.failure == nil { least = min(least, connection.amount) }
      }
      progress.over = over.count
      progress.failures = over.compactMap(\.failure)
      progress.failed = progress.failures.count
      progress.least = least == .max ? 0 : least
      client.state.withLock { $0 = progress }
    }
  }
}
