internal import Glibc
internal import LinuxNetwork

/// Four network namespaces: a client and two hosts on one LAN bridge, and a separate link between the two hosts; and a fifth
/// for somebody else's server, where one is asked for.
///
/// Captures are taken on the bridge: before what a test does to the client's link (loss, reordering), so that the order in
/// which the service's packets appear is the order in which they were sent.
public final class Topology: Sendable {
  public let client: Namespace
  public let alpha: Namespace
  public let beta: Namespace
  public let lan: Namespace
  /// 10.77.0.20; nil unless asked for.
  public let server: Namespace?

  public static let bridge = "br0"
  /// The bridge's port towards the client.
  public static let clientPort = "v-client"

  public init(withServer: Bool = false) throws {
    lan = try Namespace("lan")
    server = withServer ? try Namespace("server") : nil
    client = try Namespace("client")
    alpha = try Namespace("alpha")
    beta = try Namespace("beta")
    try lan.ip(batch: "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br0 up\n")
    var hosts = [(client, "client", 9), (alpha, "alpha", 1), (beta, "beta", 2)]
    if let server { hosts.append((server, "server", 20)) }
    for (namespace, name, digit) in hosts {
      // Addresses are usable at once.
      try namespace.setSysctl("net.ipv6.conf.default.accept_dad", "0")
      try lan.ip(
        batch: """
          link add v-\(name) type veth peer name eth0 netns \(namespace.name)
          link set v-\(name) master br0 up

          """)
      try namespace.ip(
        batch: """
          addr add 10.77.0.\(digit)/24 dev eth0
          addr add fd77::\(digit)/64 dev eth0 nodad
          link set eth0 up

          """)
    }
    try alpha.ip("link", "add", "rep0", "type", "veth", "peer", "name", "rep0", "netns", beta.name)
    for (namespace, digit) in [(alpha, 1), (beta, 2)] {
      try namespace.ip(batch: "addr add 10.78.0.\(digit)/24 dev rep0\nlink set rep0 up\n")
    }
    try wait(for: "the bridge to forward", until: .seconds(10)) {
      try Tool.run("bridge", "-n", lan.name, "link").split(separator: "\n").count { $0.contains("state forwarding") }
        == hosts.count
    }
  }

  public subscript(host: HostName) -> Namespace { host == .alpha ? alpha : beta }

  /// When and how a host was cut off.
  public struct Crash: Sendable {
    /// The monotonic clock just before the links went down.
    public let time: UInt64
    /// The same moment since 1970, as captures count.
    public let wallTime: UInt64

    /// This moment.
    public static var now: Crash { Crash(time: monotonicNow(), wallTime: wallClockNow()) }
  }

  /// Cuts a host off from both its networks, then kills all that runs on it: nothing that its processes do in their last
  /// moments, and nothing that its kernel sends on their behalf afterwards, reaches anyone.
  @discardableResult
  public func crash(_ host: HostName) throws -> Crash {
    let namespace = self[host]
    let crash = Crash(time: monotonicNow(), wallTime: wallClockNow())
    try namespace.ip(batch: "link set eth0 down\nlink set rep0 down\n")
    namespace.killProcesses()
    // Its kernel dies, too: nothing of what the processes left in it may speak when the links are up again.
    for family in ["-4", "-6"] { try Tool.run("ss", [family, "-HtK", "state", "connected"], in: namespace) }
    // Nor may packets that waited for a neighbour's address: those released while the link went down would leave up to three
    // seconds later, if the host is back by then.
    try namespace.ip("neigh", "flush", "dev", "eth0")
    try namespace.ip("neigh", "flush", "dev", "rep0")
    return crash
  }

  /// Adds the service's addresses by hand and announces them: for runs without a daemon.
  public func addServiceAddresses(to host: HostName) throws {
    try self[host].ip(
      batch: "addr add \(Addresses.service4)/24 dev eth0\naddr add \(Addresses.service6)/64 dev eth0 nodad\n")
  }

  /// Limits what the client's link carries in either direction.
  public func limit(_ rate: String) throws { try limit(rate, of: client, port: Topology.clientPort) }

  /// Limits what the link of somebody else's server carries.
  public func limitServer(_ rate: String) throws {
    guard let server else { throw LabError("the topology has no server") }
    try limit(rate, of: server, port: "v-server")
  }

  /// Limits what the replication link carries in either direction.
  public func limitReplication(_ rate: String) throws {
    for host in [alpha, beta] { try limit(rate, "rep0", of: host) }
  }

  private func limit(_ rate: String, of host: Namespace, port: String) throws {
    try limit(rate, port, of: lan)
    try limit(rate, "eth0", of: host)
  }

  private func limit(_ rate: String, _ device: String, of namespace: Namespace) throws {
    let shaping = ["root", "tbf", "rate", rate, "burst", "256k", "latency", "100ms"]
    try Tool.run("tc", ["-n", namespace.name, "qdisc", "replace", "dev", device] + shaping)
  }

  /// Packets on the bridge, from now on.
  /// - Parameter bytes: how much of each frame to keep, 0 for all.
  public func capture(bytes: Int = 0, filter: String = "tcp", path: String? = nil) throws -> PacketCapture {
    try PacketCapture(in: lan, interface: Topology.bridge, bytes: bytes, filter: filter, path: path)
  }
}
