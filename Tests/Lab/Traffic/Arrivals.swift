internal import Glibc
internal import Synchronization
public import TCPModel

/// Clients that come at an even rate, whatever becomes of those before them: each connects, and goes as soon as it is connected.
public final class Arrivals: Sendable {
  /// What became of one of them. Nanoseconds of the monotonic clock.
  public struct Arrival: Sendable, CustomStringConvertible {
    public let begun: UInt64
    /// How long it took to be connected; nil for one that was not.
    public var waited: UInt64?
    /// errno of one that was turned away.
    public var failure: Int32?

    public var description: String {
      if let waited { return "connected after \(waited / 1_000_000) ms" }
      return failure.map { String(cString: strerror($0)) } ?? "not connected"
    }
  }

  private let stopping = Atomic<Bool>(false)
  private let connected = Atomic<Int>(0)
  private let result = Mutex<Result<[Arrival], any Error>?>(nil)

  public init(in namespace: Namespace, at service: Endpoint, perSecond: UInt64) throws {
    _ = try DedicatedThread { [self] in
      let outcome = Result {
        try namespace.enter()
        return try run(service, interval: 1_000_000_000 / perSecond)
      }
      result.withLock { $0 = outcome }
    }
  }

  deinit { stopping.store(true, ordering: .relaxed) }

  /// How many have been connected so far.
  public var served: Int { connected.load(ordering: .relaxed) }

  /// Has nobody else come, and waits until those who have are connected or turned away; those who still wait then are not.
  public func stop(until deadline: Deadline) throws -> [Arrival] {
    stopping.store(true, ordering: .relaxed)
    try wait(for: "the last newcomers", until: deadline) { result.withLock { $0 != nil } }
    guard let result = result.withLock({ $0 }) else { throw LabError("no result") }
    return try result.get()
  }

  private func run(_ service: Endpoint, interval: UInt64) throws -> [Arrival] {
    let poller = try Poller()
    var arrivals: [Arrival] = []
    var open: [Int32: (socket: TCPSocket, index: Int)] = [:]
    var next = monotonicNow()
    var end: UInt64?
    while true {
      let now = monotonicNow()
      if stopping.load(ordering: .relaxed), end == nil { end = now + 4_000_000_000 }
      if let end, open.isEmpty || now > end { return arrivals }
      // Those whose time has come meanwhile come now, and not in a burst later.
      if end == nil, now >= next {
        next = max(next + interval, now - 20 * interval)
        let socket = try TCPSocket.connect(to: service)
        // It goes without a trace: no port of the client's waits for a minute.
        try socket.closeAbruptly()
        open[socket.number] = (socket, arrivals.count)
        arrivals.append(Arrival(begun: now))
        try poller.watch(socket.number, for: .write)
      }
      try poller.wait(milliseconds: now < next ? 1 : 0) { number, _ in
        guard let (socket, index) = open[number] else { return }
        let error = try socket.takeError()
        if error == 0 {
          arrivals[index].waited = monotonicNow() - arrivals[index].begun
          connected.add(1, ordering: .relaxed)
        } else {
          arrivals[index].failure = error
        }
        poller.forget(number)
        open[number] = nil
      }
    }
  }
}
