import Glibc
import Lab
import TCPModel
import Testing

/// A daemon ends and starts again with another configuration: connections are kept by their pair's name, and those of a pair that is
/// gone end in the open.
@Suite(.serialized)
struct ConfigurationChangeTests {
  private typealias Streams = FailureDetectionTests.Streams

  private static let mailAddress = "10.77.0.150"

  private static var managed: DaemonHost.Options {
    var options = DaemonHost.Options()
    options.isManaged = true
    options.deadAfter = "1s"
    options.exposeAfter = "3s"
    return options
  }

  /// A second pair.
  private static func mail(on name: HostName) -> String {
    """
    [[pair]]
    name = "mail"
    addresses = ["\(mailAddress)/24 dev eth0"]
    prefer = "\(name == .alpha ? "active" : "standby")"

    [pair.replication]
    local = "10.78.0.\(name.digit):7421"
    peer = "10.78.0.\(name.other.digit):7421"
    security = "none"

    [pair.heartbeat]
    paths = [
      { local = "10.78.0.\(name.digit):7422", peer = "10.78.0.\(name.other.digit):7422" },
      { local = "10.77.0.\(name.digit):7422", peer = "10.77.0.\(name.other.digit):7422" },
    ]
    dead_after = "1s"

    [pair.solo]
    expose_after = "3s"


    """
  }

  private static func state(_ pair: String, on host: DaemonHost) -> DaemonStatus.Pair? {
    (try? host.status())?.pairs.first { $0.name == pair }
  }

  private static func waitUntilSynced(_ name: String, _ pair: ProtectedPair, active host: HostName = .alpha) throws {
    try wait(for: "\(name) to be active on \(host) and synced\(pair.explanation)", until: .seconds(30), every: 20) {
      let (active, standby) = (state(name, on: pair[host]), state(name, on: pair[host.other]))
      return active?.role == "active" && active?.replication == "synced" && standby?.role == "standby"
        && standby?.replication == "synced"
    }
  }

  /// Both hosts have `mail`, too, behind `web`.
  private static func withMail() throws -> ProtectedPair {
    let topology = try Topology()
    try topology.limit("200mbit")
    let pair = try ProtectedPair(topology: topology) { _ in managed }
    for host in [pair.beta, pair.alpha] {
      try Files.append(to: host.configurationPath) { write in try write(Array(mail(on: host.name).utf8)) }
    }
    try pair.beta.restart()
    try pair.waitUntilSynced(active: .alpha)
    try pair.alpha.restartWithConnections()
    for name in ["web", "mail"] { try waitUntilSynced(name, pair) }
    return pair
  }

  private static func removeMail(from host: DaemonHost) throws {
    try host.edit(replacing: mail(on: host.name), with: "")
  }

  private static func addresses(_ host: DaemonHost) throws -> String {
    try Tool.run("ip", ["-n", host.namespace.name, "-o", "addr"])
  }

  /// Leads the streams of both pairs to their end; what is wrong with them.
  private static func end(_ streams: Streams, _ mail: PatternClient) throws -> [String] {
    try streams.goOn()
    try streams.pair.waitForProgress(mail)
    let clients = streams.clients + [mail]
    for client in clients { client.finish(at: client.progress.least) }
    let reports = try clients.map { try $0.report(until: .seconds(60)) }
    let check = try CaptureCheck(streams.capture.stop(), isService: { (7000...7004).contains($0.port) })
    let violations = streams.pair.violations(reports, check)
    return violations.isEmpty ? [] : violations + [streams.pair.explanation]
  }

  /// For where other connections were reset, which the capture shows, too.
  private static func endWithoutFailure(_ streams: Streams) throws {
    try streams.goOn()
    for client in streams.clients { client.finish(at: client.progress.least) }
    for client in streams.clients {
      #expect(try client.report(until: .seconds(60)).failures.isEmpty, "\(streams.pair.explanation)")
    }
  }

  /// The pair before it gets its place in the file, and the queues other numbers; nothing leaves that the standby does not have.
  @Test func anInsertedPairAndOtherQueuesLeaveTheConnectionsAlone() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    try pair.alpha.edit(replacing: "[[pair]]", with: Self.mail(on: .alpha) + "[[pair]]")
    try pair.alpha.edit(replacing: "[node]", with: "[node]\nqueue_base = 4700")
    let beta = try #require(pair.beta.process)
    var capture: PacketCapture?
    try pair.alpha.restartWithConnections {
      // From the first packet on: nobody confirms anything.
      beta.signal(SIGSTOP)
      capture = try pair.topology.capture(bytes: 128, filter: "tcp src portrange 7000-7004")
    }
    try wait(for: "mail to be there\(pair.explanation)", until: .seconds(10)) {
      Self.state("mail", on: pair.alpha) != nil
    }
    try FailureDetectionTests.passes(700_000_000)
    // An acknowledgement that a socket sends when it is asked where it is says nothing that the standby does not know; data would.
    let check = try CaptureCheck(#require(capture).stop(), isService: { _ in true })
    #expect(check.packets == 0, "\(pair.explanation)")
    beta.signal(SIGCONT)
    try Self.waitUntilSynced("web", pair)
    try streams.goOn()
    #expect(pair.beta.takeover == nil, "\(pair.explanation)")
    #expect(try pair.alpha.connections().count { $0.protected } == 6)
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }

  /// The other way round: what was second is first, and the first has gone to the end.
  @Test func theOrderOfPairsIsOfNoConsequence() throws {
    let pair = try Self.withMail()
    let streams = try Streams(pair: pair)
    try Self.removeMail(from: pair.alpha)
    try pair.alpha.edit(replacing: "[[pair]]", with: Self.mail(on: .alpha) + "[[pair]]")
    let mail = try pair.connect(.download, address: Self.mailAddress, connections: 2)
    try pair.alpha.restartWithConnections()
    for name in ["web", "mail"] { try Self.waitUntilSynced(name, pair) }
    try streams.goOn()
    try pair.waitForProgress(mail)
    try expectNone(Self.end(streams, mail))
  }

  @Test func theConnectionsOfARemovedPairMoveWhereTheyCan() throws {
    let pair = try Self.withMail()
    let streams = try Streams(pair: pair)
    let mail = try pair.connect(.download, address: Self.mailAddress, connections: 2)
    try Self.removeMail(from: pair.alpha)
    var former = ""
    try pair.alpha.restartWithConnections { former = pair.alpha.log }
    #expect(former.contains("pair mail is no longer in the configuration: 2 connections moved"), "\(former)")
    try wait(for: "beta to go on\(pair.explanation)", until: .seconds(20)) {
      Self.state("mail", on: pair.beta)?.role == "active"
    }
    try pair.waitForProgress(mail)
    try Self.waitUntilSynced("web", pair)
    try streams.goOn()
    #expect(try pair.alpha.status().pairs.map(\.name) == ["web"])
    #expect(try !Self.addresses(pair.alpha).contains("\(Self.mailAddress)/"))
    try expectNone(Self.end(streams, mail))
  }

  @Test func theConnectionsOfARemovedPairAreResetWhereTheyCannotMove() throws {
    let pair = try Self.withMail()
    let streams = try Streams(pair: pair)
    let mail = try pair.connect(.idle, address: Self.mailAddress, connections: 2)
    pair.beta.process?.signal(SIGTERM)
    try wait(for: "alpha to be alone\(pair.explanation)", until: .seconds(20)) {
      ["web", "mail"].allSatisfy { Self.state($0, on: pair.alpha)?.replication == "exposed" }
    }
    try Self.removeMail(from: pair.alpha)
    try pair.alpha.restartWithConnections()
    // They hear it at once, though they say nothing themselves.
    try wait(for: "both to be reset\(pair.explanation)", until: .seconds(5)) { mail.progress.failed == 2 }
    #expect(mail.progress.firstFailure?.contains("reset") ?? false, "\(mail.progress.firstFailure ?? "")")
    #expect(
      pair.alpha.log.contains("pair mail is no longer in the configuration: 2 connections reset"), "\(pair.alpha.log)")
    try wait(for: "the address to be gone", until: .seconds(5)) {
      try !Self.addresses(pair.alpha).contains("\(Self.mailAddress)/")
    }
    #expect(try Self.addresses(pair.alpha).contains("\(Addresses.service4)/"))
    try Self.endWithoutFailure(streams)
  }

  /// It was taken from a pair that stays.
  @Test func theConnectionsOfARemovedAddressAreReset() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    let others = try pair.connect(.idle, address: Addresses.service6, connections: 2)
    try pair.alpha.edit(replacing: ", \"\(Addresses.service6)/64 dev eth0\"", with: "")
    try pair.alpha.restartWithConnections()
    try wait(for: "both to be reset\(pair.explanation)", until: .seconds(5)) { others.progress.failed == 2 }
    #expect(pair.alpha.log.contains("addresses of pair web are no longer in the configuration: 2 connections reset"))
    #expect(try !Self.addresses(pair.alpha).contains("\(Addresses.service6)/"))
    try pair.waitUntilSynced(active: .alpha)
    try Self.endWithoutFailure(streams)
  }

  @Test func otherNamesForTheHostAndItsSocketLeaveTheConnectionsAlone() throws {
    let streams = try Streams(Self.managed)
    let pair = streams.pair
    try pair.alpha.edit(replacing: "name = \"alpha\"", with: "name = \"gamma\"")
    try pair.alpha.restartWithConnections()
    #expect(try pair.alpha.status().node == "gamma")
    try pair.waitUntilSynced(active: .alpha)
    try streams.goOn()
    try streams.crash(.alpha)
    try expectNone(streams.end())
  }
}
