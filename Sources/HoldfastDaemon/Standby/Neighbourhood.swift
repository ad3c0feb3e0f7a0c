internal import LinuxNetwork
internal import Logging
internal import SystemCalls
internal import TCPModel

/// Keeps the neighbours known through whom a takeover's first packets will go, and takes back what waits for others when this host
/// gives way.
///
/// A host that has never spoken with a client's network must ask for a link-layer address first. What it sends meanwhile waits,
/// and packets that follow can overtake it when the answer comes: the kernel sends what waited without holding back what does
/// not (neigh_update, Linux 6.18), and a peer would see the later timestamp first.
final class Neighbourhood {
  private let routes: RouteTable
  private let logger: Logger
  private var timer: Timer?
  /// Clients whose way is known. A route that changes later costs no more than what it costs without this.
  private var peers: Set<IPAddress> = []
  private var hops: Set<NextHop> = []
  private var lastFailure = ""

  /// ns; well below what the kernel takes to forget a neighbour that nobody asks for (net.ipv4.neigh.*.gc_stale_time, 60 s).
  private static let interval: UInt64 = 15_000_000_000
  private static let mostPeers = 1 << 16
  private static let mostHops = 1 << 10
  /// How many questions of about 10 µs each may keep the loop while connections are given away.
  private static let mostQuestions = 1 << 8

  init(loop: EventLoop, logger: Logger) throws {
    routes = try RouteTable()
    self.logger = logger
    timer = try loop.addTimer(priority: LoopPriority.background, description: "neighbours") { [weak self] in
      self?.refresh()
    }
  }

  /// This host may have to go on with a connection of this peer.
  func learn(_ peer: IPAddress) {
    guard !peers.contains(peer) else { return }
    if peers.count >= Self.mostPeers { peers = [] }
    peers.insert(peer)
    guard let hop = routes.nextHop(to: peer), hops.count < Self.mostHops, hops.insert(hop).inserted else { return }
    prepare(hop)
    if hops.count == 1 { timer?.set(at: MonotonicClock.now + Self.interval) }
  }

  /// Sees to it that what is known still holds.
  func refresh() {
    for hop in hops { prepare(hop) }
    timer?.set(at: hops.isEmpty ? nil : MonotonicClock.now + Self.interval)
  }

  /// This host gives the connections of these peers away. What its kernel keeps while it looks for their neighbours would leave
  /// when the other host has long gone on.
  func dropWhatWaits(for peers: @autoclosure () -> Set<IPAddress>) {
    do throws(AddressError) {
      let lookedFor = try routes.neighboursLookedFor()
      guard !lookedFor.isEmpty else { return }
      let peers = peers()
      var hops = lookedFor.filter { peers.contains($0.address) }
      // The others may be routers. Peers share those, so some peers tell of all of them.
      if hops.count < lookedFor.count {
        hops.formUnion(lookedFor.intersection(peers.prefix(Self.mostQuestions).compactMap(routes.nextHop)))
      }
      for hop in hops {
        try routes.forget(hop)
        logger.debug("dropped what waited for a neighbour", metadata: ["address": "\(hop.address)"])
      }
    } catch {
      logger.info("\(error)")
    }
  }

  func forget() {
    peers = []
    hops = []
    timer?.disarm()
  }

  private func prepare(_ hop: NextHop) {
    do throws(AddressError) {
      try routes.prepare(hop)
    } catch {
      // It costs a moment at a takeover, no more.
      if error.description != lastFailure { logger.info("\(error)") }
      lastFailure = error.description
    }
  }
}
