internal import Glibc
internal import LinuxNetwork
internal import Synchronization
internal import TCPModel

/// A bad network between the client and the LAN: from now on a share of the TCP packets in both directions is lost, doubled, or
/// comes late and so behind others.
///
/// A netfilter queue in the client's namespace does it, behind the bridge: what a capture there shows of the service's packets
/// is what the service sent. Packets are made small, one segment each, or a loss would take 64 kB at once.
public final class Disturbance: Sendable {
  /// Of all packets, 0 to 1.
  public struct Shares: Sendable {
    public var lost = 0.02
    public var doubled = 0.02
    public var late = 0.05
    /// By how much a late packet is late, at most, ns.
    public var lateness: UInt64 = 5_000_000

    public init() {}

    /// Nothing happens to any packet by chance.
    public static var none: Shares {
      var shares = Shares()
      (shares.lost, shares.doubled, shares.late) = (0, 0, 0)
      return shares
    }
  }

  /// What became of the packets.
  public struct Counts: Sendable {
    public var passed = 0
    public var lost = 0
    public var doubled = 0
    public var late = 0
    /// Of those that are late, how many have not come yet.
    public var held = 0
  }

  private struct State {
    var counts = Counts()
    var isHolding = false
    var isReady = false
    var stopped = false
    var ended = false
    var failure: String?
  }

  /// What the thread has of this object, which ends without it.
  private final class Shared: Sendable {
    private let state = Mutex(State())
    func withLock<Value>(_ body: (inout sending State) -> sending Value) -> Value { state.withLock(body) }
  }

  private static let queue: UInt16 = 77
  private let client: Namespace
  /// Whose packets it happens to; nil for everybody's, and the client's own.
  private let source: String?
  private let state: Shared

  /// - Parameter source: the host whose packets to the client alone are disturbed; nil for all in both directions.
  public init(_ topology: Topology, _ shares: Shares = Shares(), from source: HostName? = nil, dice: Dice) throws {
    client = topology.client
    self.source = try source.map { try topology.linkAddress(of: $0) }
    for namespace in [topology.client, topology.alpha, topology.beta] {
      try namespace.ip("link", "set", "dev", "eth0", "gso_max_segs", "1")
    }
    let state = Shared()
    self.state = state
    _ = try DedicatedThread { [client] in
      do {
        try client.enter()
        let worker = try Worker(queue: Disturbance.queue, shares: shares, dice: dice)
        state.withLock { $0.isReady = true }
        while !state.withLock({ $0.stopped }) {
          worker.isHolding = state.withLock { $0.isHolding }
          try worker.turn()
          state.withLock { $0.counts = worker.counts }
        }
        try worker.releaseAll()
      } catch { state.withLock { $0.failure = "\(error)" } }
      state.withLock { $0.ended = true }
    }
    try wait(for: "the disturbance to begin", until: .seconds(10)) {
      if let failure = state.withLock({ $0.failure }) { throw LabError("the disturbance: \(failure)") }
      return state.withLock { $0.isReady }
    }
    try rules("-A")
  }

  deinit { state.withLock { $0.stopped = true } }

  private func rules(_ action: String) throws {
    let both = [["PREROUTING", "-i", "eth0"], ["POSTROUTING", "-o", "eth0"]]
    let places = source.map { [["PREROUTING", "-i", "eth0", "-m", "mac", "--mac-source", $0]] } ?? both
    for tool in ["iptables", "ip6tables"] {
      for place in places {
        try Tool.run(
          tool,
          ["-w", "-t", "mangle", action] + place + ["-p", "tcp", "-j", "NFQUEUE", "--queue-num", "\(Self.queue)"],
          in: client)
      }
    }
  }

  /// From now on nothing arrives; when it ends, all that was held back arrives at once.
  public func hold(_ isHolding: Bool) { state.withLock { $0.isHolding = isHolding } }

  public var counts: Counts { state.withLock { $0.counts } }

  /// Calms the network, and says what became of the packets.
  @discardableResult
  public func stop() throws -> Counts {
    try rules("-D")
    state.withLock { $0.stopped = true }
    try wait(for: "the disturbance to end", until: .seconds(10)) { state.withLock { $0.ended } }
    let (counts, failure) = state.withLock { ($0.counts, $0.failure) }
    if let failure { throw LabError("the disturbance: \(failure)") }
    return counts
  }

  /// The thread's own part.
  private final class Worker {
    private let number: UInt16
    private let queue: PacketQueue
    private let sender: RawSender
    private let shares: Shares
    private var dice: Dice
    private var late: [(due: UInt64, packet: UInt32)] = []
    var isHolding = false
    private(set) var counts = Counts()

    init(queue number: UInt16, shares: Shares, dice: Dice) throws {
      self.number = number
      queue = try PacketQueue(queues: [number])
      sender = try RawSender()
      self.shares = shares
      self.dice = dice
    }

    func turn() throws {
      var request = pollfd(fd: queue.descriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&request, 1, 1)
      var failure: (any Error)?
      _ = try queue.receive { packet in
        do { try handle(packet) } catch { failure = error }
      }
      if let failure { throw failure }
      if !isHolding {
        let now = monotonicNow()
        for one in late where one.due <= now { try queue.accept(one.packet, in: number) }
        late.removeAll { $0.due <= now }
      }
      counts.held = late.count
    }

    func releaseAll() throws {
      for (_, packet) in late { try queue.accept(packet, in: number) }
    }

    private func handle(_ packet: QueuedPacket) throws {
      if isHolding {
        counts.late += 1
        return late.append((0, packet.id))
      }
      if dice.falls(shares.lost) {
        counts.lost += 1
        return try queue.drop(packet.id, in: number)
      }
      if dice.falls(shares.doubled), let copy = Worker.copy(of: packet.bytes) {
        counts.doubled += 1
        try? sender.send(copy)
      }
      if dice.falls(shares.late) {
        counts.late += 1
        late.append((monotonicNow() + dice.pick(0...shares.lateness), packet.id))
        return
      }
      counts.passed += 1
      try queue.accept(packet.id, in: number)
    }

    /// The packet once more, with the checksum that the kernel would have filled in later.
    private static func copy(of bytes: UnsafeRawBufferPointer) -> IPPacket? {
      guard let segment = try? Segment.parse(bytes) else { return nil }
      return IPPacket(
        source: segment.source.address, destination: segment.destination.address, bytes: segment.copy(of: bytes))
    }
  }
}
