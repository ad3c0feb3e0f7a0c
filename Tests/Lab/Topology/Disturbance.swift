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
  }

  /// What became of the packets.
  public struct Counts: Sendable {
    public var passed = 0
    public var lost = 0
    public var doubled = 0
    public var late = 0
  }

  private struct State {
    var counts = Counts()
    var stopped = false
    var failure: String?
  }

  private static let queue: UInt16 = 77
  private let client: Namespace
  private let state = Mutex(State())
  private let ended = Mutex(false)

  public init(_ topology: Topology, _ shares: Shares = Shares(), dice: Dice) throws {
    client = topology.client
    for namespace in [topology.client, topology.alpha, topology.beta] {
      try namespace.ip("link", "set", "dev", "eth0", "gso_max_segs", "1")
    }
    let ready = Mutex(false)
    _ = try DedicatedThread { [self] in
      do {
        try client.enter()
        let worker = try Worker(queue: Disturbance.queue, shares: shares, dice: dice)
        ready.withLock { $0 = true }
        while !state.withLock({ $0.stopped }) {
          try worker.turn()
          state.withLock { $0.counts = worker.counts }
        }
        try worker.releaseAll()
      } catch { state.withLock { $0.failure = "\(error)" } }
      ended.withLock { $0 = true }
    }
    try wait(for: "the disturbance to begin", until: .seconds(10)) {
      if let failure = state.withLock({ $0.failure }) { throw LabError("the disturbance: \(failure)") }
      return ready.withLock { $0 }
    }
    try rules("-A")
  }

  deinit { state.withLock { $0.stopped = true } }

  private func rules(_ action: String) throws {
    for tool in ["iptables", "ip6tables"] {
      for (chain, device) in [("PREROUTING", "-i"), ("POSTROUTING", "-o")] {
        try Tool.run(
          tool,
          [
            "-w", "-t", "mangle", action, chain, device, "eth0", "-p", "tcp", "-j", "NFQUEUE", "--queue-num",
            "\(Self.queue)",
          ],
          in: client)
      }
    }
  }

  /// Calms the network, and says what became of the packets.
  @discardableResult
  public func stop() throws -> Counts {
    try rules("-D")
    state.withLock { $0.stopped = true }
    try wait(for: "the disturbance to end", until: .seconds(10)) { ended.withLock { $0 } }
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
      let now = monotonicNow()
      for one in late where one.due <= now { try queue.accept(one.packet, in: number) }
      late.removeAll { $0.due <= now }
    }

    func releaseAll() throws {
      for (_, packet) in late { try queue.accept(packet, in: number) }
    }

    private func handle(_ packet: QueuedPacket) throws {
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
      var copy = Array(bytes)
      let field = segment.headerOffset + 16
      copy[field] = 0
      copy[field + 1] = 0
      let end = segment.payloadOffset + segment.payloadCount
      let addresses = segment.source.address.isIPv6 ? Array(copy[8..<40]) : Array(copy[12..<20])
      let length = end - segment.headerOffset
      let pseudoHeader = addresses + [0, 6, UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length)]
      let checksum = Checksum.of(pseudoHeader + copy[segment.headerOffset..<end])
      copy[field] = UInt8(truncatingIfNeeded: checksum >> 8)
      copy[field + 1] = UInt8(truncatingIfNeeded: checksum)
      return IPPacket(source: segment.source.address, destination: segment.destination.address, bytes: copy)
    }
  }
}
