import Glibc
import Lab
import TCPModel
import Testing

/// Traffic that is none of the daemon's: it passes as on any host.
@Suite(.serialized)
struct StrangerTests {
  /// How a client's packets come through the standby host.
  enum Way: String, CaseIterable, CustomTestStringConvertible {
    case routed, masqueraded, bridged
    var testDescription: String { rawValue }
  }

  /// Somebody behind beta: a container, a virtual machine, a host of another network.
  private func guest(_ way: Way, in topology: Topology) throws -> Namespace {
    let guest = try Namespace("guest")
    let beta = topology.beta
    try beta.ip("link", "add", "guest", "type", "veth", "peer", "name", "eth0", "netns", guest.name)
    if way == .bridged {
      // The cable is a port of a bridge, which has the name and the addresses that it had.
      try beta.ip(
        batch: """
          link set eth0 down
          link set eth0 name cable
          link add eth0 type bridge stp_state 0 forward_delay 0
          link set cable master eth0
          link set guest master eth0
          link set cable up
          link set guest up
          link set eth0 up
          addr flush dev cable
          addr add \(Addresses.beta)/24 dev eth0
          addr add fd77::2/64 dev eth0 nodad

          """)
      try guest.ip(batch: "addr add 10.77.0.30/24 dev eth0\nlink set eth0 up\n")
    } else {
      try beta.ip(batch: "addr add 10.79.0.1/24 dev guest\nlink set guest up\n")
      try beta.setSysctl("net.ipv4.ip_forward", "1")
      try guest.ip(batch: "addr add 10.79.0.2/24 dev eth0\nlink set eth0 up\nroute add default via 10.79.0.1\n")
      if way == .masqueraded {
        try topology.addRules(
          [["-t", "nat", "-A", "POSTROUTING", "-s", "10.79.0.0/24", "-j", "MASQUERADE"]], on: .beta)
      } else {
        try topology.alpha.ip("route", "add", "10.79.0.0/24", "via", Addresses.beta)
      }
    }
    return guest
  }

  /// [8]
  @Test(arguments: Way.allCases)
  func clientsBehindTheStandbyReachTheActiveHost(way: Way) throws {
    let topology = try Topology()
    let guest = try guest(way, in: topology)
    var options = DaemonHost.Options()
    options.deadAfter = "1s"
    let pair = try ProtectedPair(topology: topology) { _ in options }
    try pair.startServers()
    func talk() throws {
      let client = try PatternClient(in: guest, to: pair.service(), shape: .pingpong, connections: 2)
      try pair.waitForProgress(client, seconds: 15)
      client.finish(at: client.progress.least)
      try expectNone(client.report(until: .seconds(30)).failures)
    }
    try talk()
    // A connection of theirs goes on on the other host, whose own neighbour they are now. (One whose address the other host
    // translates would have that host for a peer.)
    let staying = way == .masqueraded ? nil : try PatternClient(in: guest, to: pair.service(), shape: .pingpong)
    if let staying {
      try pair.waitForProgress(staying)
      try wait(for: "protection", until: .seconds(20)) { try pair.alpha.connections().contains(where: \.protected) }
    }
    do { try pair.alpha.switchOver() } catch { throw LabError("\(error)\(pair.explanation)") }
    try pair.waitUntilSynced(active: .beta)
    try talk()
    if let staying {
      try pair.waitForProgress(staying)
      staying.finish(at: staying.progress.least)
      try expectNone(staying.report(until: .seconds(30)).failures)
    }
    do { try pair.beta.switchOver() } catch { throw LabError("\(error)\(pair.explanation)") }
    try pair.waitUntilSynced(active: .alpha)
    try talk()
  }

  /// Whoever comes after the takeover is served as on any host: a SYN that is lost would be sent again after a second.
  @Test func nobodyWhoComesAfterATakeoverWaits() throws {
    let pair = try ProtectedPair()
    try pair.startServers()
    var plain: [LabProcess] = []
    for host in HostName.allCases {
      let server = try LabProcess.start(
        Products.path(of: "pattern-server"), ["--port", "7100"], in: pair[host].namespace)
      try wait(for: "the other server", until: .seconds(20)) { server.standardOutput.contains("serving") }
      plain.append(server)
    }
    // Some whose packets are held.
    let kept = try pair.connect(.pingpong, connections: 10)
    let crowd = try Arrivals(in: pair.topology.client, at: Endpoint(Addresses.service4, 7104), perSecond: 1000)
    try wait(for: "newcomers to be served", until: .seconds(20)) { crowd.served > 300 }
    let crash = try pair.topology.crash(.alpha)
    try pair.waitForTakeover()
    let done = monotonicNow()
    try FailureDetectionTests.passes(3_000_000_000)
    let arrivals = try crowd.stop(until: .seconds(10))
    let late = arrivals.filter { $0.begun > done }
    #expect(late.count > 500, "\(arrivals.count) arrivals, \(late.count) after the takeover")
    for arrival in late {
      guard let waited = arrival.waited, waited < 900_000_000 else {
        Issue.record(
          "begun \((arrival.begun - crash.time) / 1_000_000) ms after the crash: \(arrival.description)\(pair.explanation)"
        )
        continue
      }
    }
    try pair.waitForProgress(kept)
    kept.finish(at: kept.progress.least)
    try expectNone(kept.report(until: .seconds(30)).failures)
  }
}
