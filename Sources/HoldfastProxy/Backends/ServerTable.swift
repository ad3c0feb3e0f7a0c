internal import DaemonSupport
internal import TCPModel

/// Which servers of a backend are up, how much each has to do, and which gets the next connection.
struct ServerTable {
  struct Server {
    let endpoint: Endpoint
    var isUp = true
    var connections = 0
    /// Checks in a row that contradict `isUp`.
    fileprivate var contradictions = 0
  }

  private let balance: ProxyConfiguration.Balance
  private let rise: Int
  private let fall: Int
  private(set) var servers: [Server]
  private var next = 0

  init(_ backend: ProxyConfiguration.Backend) {
    balance = backend.balance
    rise = backend.rise
    fall = backend.fall
    servers = backend.servers.map { Server(endpoint: $0) }
  }

  /// Chooses a server and counts a connection to it.
  /// - Parameter tried: those that have just refused.
  /// - Returns: its place in `servers`; nil when none is left.
  mutating func take(for client: IPAddress, except tried: Set<Int> = []) -> Int? {
    let candidates = servers.indices.filter { servers[$0].isUp && !tried.contains($0) }
    guard !candidates.isEmpty else { return nil }
    let choice: Int?
    switch balance {
    case .roundRobin:
      choice = candidates.first { $0 >= next } ?? candidates.first
      next = (choice ?? 0) + 1
    case .leastConnections:
      // From the one after the last on, so that equals take turns.
      let turn = candidates.filter { $0 >= next } + candidates.filter { $0 < next }
      choice = turn.min { servers[$0].connections < servers[$1].connections }
      next = (choice ?? 0) + 1
    case .sourceHash:
      // Rendezvous hashing: when a server goes down only its own clients move.
      choice = candidates.max { weight(of: $0, for: client) < weight(of: $1, for: client) }
    }
    if let choice { servers[choice].connections += 1 }
    return choice
  }

  mutating func give(back index: Int) { servers[index].connections -= 1 }

  /// The place of a server that another host's proxy has chosen; its connection is counted here from now on.
  mutating func resume(_ endpoint: Endpoint) -> Int? {
    guard let index = servers.firstIndex(where: { $0.endpoint == endpoint }) else { return nil }
    servers[index].connections += 1
    return index
  }

  /// Notes whether a server could be reached.
  /// - Returns: whether it changed sides.
  mutating func note(_ index: Int, reached: Bool) -> Bool {
    guard reached != servers[index].isUp else {
      servers[index].contradictions = 0
      return false
    }
    servers[index].contradictions += 1
    guard servers[index].contradictions >= (reached ? rise : fall) else { return false }
    servers[index].contradictions = 0
    servers[index].isUp = reached
    return true
  }

  private func weight(of index: Int, for client: IPAddress) -> UInt64 {
    let server = servers[index].endpoint
    let port = [UInt8(server.port >> 8), UInt8(server.port & 0xff)]
    var hash = FNV1a.hash(client.bytes + server.address.bytes + port)
    // FNV-1a leaves neighbours near each other; the last step of SplitMix64 scatters them.
    hash = (hash ^ hash >> 30) &* 0xbf58_476d_1ce4_e5b9
    hash = (hash ^ hash >> 27) &* 0x94d0_49bb_1331_11eb
    return hash ^ hash >> 31
  }
}
