import Glibc
import Lab
import LinuxNetwork
import TCPModel
import Testing

@testable import TLSTransport

/// Whoever is not the peer learns nothing and changes nothing, from wherever on the two networks he tries.
@Suite(.serialized)
struct TrustTests {
  private static let expired = Result { try Identity(validFrom: -7200, for: -3600) }
  private static var options: DaemonHost.Options {
    get throws {
      var options = DaemonHost.Options()
      options.security = .tls(alsoPinned: ["\(try expired.get().identity.fingerprint)"])
      return options
    }
  }

  /// Shared by threads that look at it and change nothing.
  private struct Identity: @unchecked Sendable {
    let identity: TLSIdentity
    init(validFrom start: Int, for end: Int) throws {
      let made = try KeyGeneration.make(validFrom: start, for: end)
      identity = try TLSIdentity(certificate: made.certificate, key: made.key)
    }
  }

  @Test func aDownloadOutlivesItsHostOverTLS() throws {
    var failover = Failover(shape: .download, connections: 3)
    failover.daemon = try Self.options
    failover.afterTakeover = { pair, _ in
      let security = try pair.beta.status().pairs.first?.security
      #expect(security == "tls")
    }
    let outcome = try failover.run()
    #expect(outcome.violations.isEmpty, "\(outcome.violations)\(outcome.log)")
    #expect(outcome.log.contains("following"))
  }

  /// A client of the replication channel on the standby's host, beside the standby's daemon.
  private final class Stranger {
    private let transport: any ByteTransport
    private(set) var learnt: [UInt8] = []
    private(set) var end: String?

    init(
      in namespace: Namespace, from address: String = "10.78.0.2", around: (StreamSocket) throws -> any ByteTransport
    )
      throws
    {
      transport = try namespace.run {
        let socket = try StreamSocket.connect(
          to: Endpoint("10.78.0.1", 7411), from: Endpoint(address, 0).address)
        return try around(socket)
      }
    }

    /// Says `bytes` when it may, and hears what comes, until the other side has had enough.
    func talk(_ bytes: [UInt8] = []) throws {
      var rest = bytes[...]
      var space = [UInt8](repeating: 0, count: 1 << 16)
      try wait(for: "the stranger to be shown the door", until: .seconds(20)) {
        do {
          let taken = rest.isEmpty && transport.isEstablished ? nil : try write(rest)
          rest = rest.dropFirst(taken ?? 0)
          while let count = try space.withUnsafeMutableBytes({ try transport.read(into: $0) }) {
            if count == 0 {
              end = "closed"
              return true
            }
            learnt += space[..<count]
          }
          return false
        } catch {
          end = "\(error)"
          return true
        }
      }
    }

    private func write(_ bytes: ArraySlice<UInt8>) throws -> Int? {
      try bytes.withUnsafeBytes { try transport.write([$0]) }
    }
  }

  /// What may not change, whatever strangers do.
  private func expectNothingChanged(_ pair: ProtectedPair, since before: DaemonStatus.Pair) throws {
    let after = try #require(try pair.alpha.status().pairs.first)
    #expect(
      after.role == "active" && after.replication == "synced" && after.epoch == before.epoch, "\(pair.explanation)")
    #expect(try pair.beta.status().pairs.first?.role == "standby")
    #expect(try pair.beta.status().pairs.first?.replication == "synced")
  }

  @Test func strangersOnTheReplicationLinkAreRefused() throws {
    let pair = try ProtectedPair(options: try Self.options)
    let before = try #require(try pair.alpha.status().pairs.first)
    #expect(before.security == "tls")
    let alpha = try Fingerprint(HostKeys.of(.alpha).fingerprint)
    let pins = [try #require(alpha)]
    let mallory = try Identity(validFrom: -60, for: 3600).identity
    var refused = 0
    func attempt(
      _ name: String, bytes: [UInt8] = Array("hello".utf8), alert: Int = 0,
      around: (StreamSocket) throws -> any ByteTransport
    ) throws {
      let stranger = try Stranger(in: pair.topology.beta, around: around)
      try stranger.talk(bytes)
      #expect(stranger.end != nil, "\(name)")
      refused += 1
      try wait(for: "\(name) to be refused\(pair.explanation)", until: .seconds(20)) {
        try pair.alpha.status().pairs.first?.refusedConnections ?? 0 >= refused
      }
      // An alert in plaintext, to who does not speak TLS; of the stream there is not a byte.
      if stranger.learnt.count > alert { Issue.record("\(name) learnt \(stranger.learnt)") }
    }
    try attempt("an unpinned certificate") {
      try TLSStream($0, .client, TLSContext(identity: mallory, peers: pins))
    }
    try attempt("an expired certificate") {
      try TLSStream($0, .client, TLSContext(identity: Self.expired.get().identity, peers: pins))
    }
    try attempt("a plaintext talker", bytes: Array("GET / HTTP/1.0\r\n\r\n".utf8), alert: 7) { $0 }
    try attempt("a plaintext peer", bytes: [0, 0, 0, 40, 1, 0, 0, 0] + [UInt8](repeating: 0, count: 64), alert: 7) {
      $0
    }
    // It says nothing, and the time for a hello runs out.
    try attempt("a silent connection", bytes: []) { $0 }
    #expect(pair.alpha.log.contains("which is not the peer_fingerprint"), "\(pair.alpha.log)")
    try expectNothingChanged(pair, since: before)
  }

  @Test func nobodyButThePeersAddressIsListenedTo() throws {
    let pair = try ProtectedPair(options: try Self.options)
    let before = try #require(try pair.alpha.status().pairs.first)
    try pair.topology.beta.ip("addr", "add", "10.78.0.77/24", "dev", "rep0")
    let stranger = try Stranger(in: pair.topology.beta, from: "10.78.0.77") { $0 }
    try stranger.talk()
    #expect(stranger.end == "closed" && stranger.learnt.isEmpty)
    try wait(for: "the refusal", until: .seconds(10)) {
      try pair.alpha.status().pairs.first?.refusedConnections == 1 && pair.alpha.log.contains("not the peer's address")
    }
    try expectNothingChanged(pair, since: before)
  }

  /// Connections that never say a word, faster than they time out: the peer still finds its way in.
  @Test func aFloodOfHalfOpenConnectionsKeepsNobodyOut() throws {
    let pair = try ProtectedPair(options: try Self.options)
    func flood() throws -> [StreamSocket] {
      try pair.topology.beta.run {
        try (0..<100).map { _ in
          try StreamSocket.connect(to: Endpoint("10.78.0.1", 7411), from: Endpoint("10.78.0.2", 0).address)
        }
      }
    }
    var open = try flood()
    try wait(for: "the flood to be noticed", until: .seconds(20)) {
      try pair.alpha.status().pairs.first?.refusedConnections ?? 0 > 50
    }
    #expect(try descriptors(of: pair.alpha) < 100, "half-open connections pile up")
    let process = try #require(pair.beta.process)
    process.kill()
    _ = try process.wait(until: .seconds(10))
    open += try flood()
    try pair.beta.start()
    open += try flood()
    try pair.alpha.waitUntil(role: "active", replication: "synced")
    try pair.beta.waitUntil(role: "standby", replication: "synced")
    // The journal has a line or two about it, not hundreds.
    #expect(pair.alpha.log.split(separator: "\n").count { $0.contains("replication connection refused") } < 20)
    #expect(open.count == 300)
  }

  private func descriptors(of host: DaemonHost) throws -> Int {
    Files.list("/proc/\(try #require(host.process).pid)/fd").count
  }

  // MARK: Heartbeats

  /// Listens on the bridge and sends to both hosts, all the time: what each said before, what it never said, and what it said
  /// itself.
  private func attack(_ pair: ProtectedPair) throws -> LabProcess {
    let attacker = try LabProcess.start(
      "python3", ["-u", "-c", Self.attacker], in: pair.topology.lan, logs: pair.alpha.folder, name: "attacker")
    try wait(for: "the attacker to have recordings: \(attacker.standardError)", until: .seconds(20)) {
      guard attacker.isRunning else { throw LabError("the attacker ended: \(attacker.standardError)") }
      return attacker.standardOutput.contains("attacking")
    }
    return attacker
  }

  private static let attacker = """
    import select, socket, struct, time
    PORT = 7412
    ports = {}
    for name in ("v-alpha", "v-beta"):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind((name, 0))
        ports[name] = s
    other = {"v-alpha": "v-beta", "v-beta": "v-alpha"}
    recorded = {"v-alpha": [], "v-beta": []}
    def heartbeat(frame):
        return frame[12:14] == b"\\x08\\x00" and frame[23] == 17 and struct.unpack("!H", frame[36:38])[0] == PORT
    def changed(frame, place, bits):
        f = bytearray(frame)
        f[40:42] = b"\\0\\0"          # no UDP checksum
        f[42 + place] ^= bits
        return bytes(f)
    def turned(frame):
        # Back to its sender, as if it came from the other host.
        return (frame[6:12] + frame[:6] + frame[12:26] + frame[30:34] + frame[26:30] + frame[36:38] + frame[34:36]
                + frame[38:40] + b"\\0\\0" + frame[42:])
    begun = False
    turn = 0
    while True:
        ready, _, _ = select.select(list(ports.values()), [], [], 0.005)
        for name, s in ports.items():
            if s in ready:
                try:
                    frame, address = s.recvfrom(4096)
                except OSError:
                    continue
                # What comes in at a host's port was said by that host.
                if address[2] != socket.PACKET_OUTGOING and heartbeat(frame) and len(recorded[name]) < 40:
                    recorded[name].append(frame)
        if min(map(len, recorded.values())) < 40:
            continue
        if not begun:
            begun = True
            print("attacking", flush=True)
        turn += 1
        for name in ports:
          try:
            frame = recorded[name][turn % 40]
            victim = ports[other[name]]
            victim.send(changed(frame, 0, 0))               # as it was (its checksum was left to the card)
            victim.send(changed(frame, 19, 0x40))       # the epoch
            victim.send(changed(frame, 8, 0x01))        # the role
            victim.send(changed(frame, len(frame) - 43, 0x80))  # the tag
            ports[name].send(turned(frame))
          except OSError:
            pass                                        # the host's links have just gone down
    """

  /// Alpha dies while somebody goes on saying that it lives.
  @Test func aTakeoverIsNeitherCausedNorPreventedByAnAttackerOnTheLAN() throws {
    let pair = try ProtectedPair(options: try Self.options)
    let before = try #require(try pair.alpha.status().pairs.first)
    let attacker = try attack(pair)
    for host in HostName.allCases {
      var counted: [String: Int] = [:]
      do {
        try wait(for: "every kind of attack to be counted", until: .seconds(20)) {
          counted = try #require(try pair[host].status().pairs.first).rejectedHeartbeats
          return ["forged", "replayed", "reflected"].allSatisfy { counted[$0] ?? 0 > 100 }
        }
      } catch { throw LabError("\(error) on \(host): \(counted)\(pair.explanation)") }
    }
    try expectNothingChanged(pair, since: before)
    // However many there were, the journal has an entry or two.
    #expect(pair.alpha.log.split(separator: "\n").count { $0.contains("heartbeat ignored") } < 10)
    try pair.topology.crash(.alpha)
    try pair.waitForTakeover()
    #expect(attacker.isRunning)
    #expect(try pair.beta.status().pairs.first?.role == "active")
  }

  /// A host that starts alone under replays is held up by none of them twice.
  @Test func recordingsDoNotKeepAHostFromStarting() throws {
    let pair = try ProtectedPair(options: try Self.options)
    let attacker = try attack(pair)
    let process = try #require(pair.beta.process)
    process.kill()
    _ = try process.wait(until: .seconds(10))
    try pair.topology.crash(.alpha)
    try pair.beta.start()
    try pair.beta.waitUntil(role: "active")
    #expect(attacker.isRunning)
  }

  /// The replication link is dead from the beginning: heartbeats over the clients' network are all that there is, and no
  /// session has ever stood in which keys could have been agreed on.
  @Test func withoutASessionTheHostsStillKnowEachOther() throws {
    let topology = try Topology()
    func link(_ change: String) throws {
      for host in HostName.allCases {
        try Tool.run("iptables", [change, "INPUT", "-i", "rep0", "-j", "DROP"], in: topology[host])
      }
    }
    try link("-A")
    let alpha = try DaemonHost(.alpha, in: topology, options: try Self.options)
    let beta = try DaemonHost(.beta, in: topology, options: try Self.options)
    try alpha.start()
    try alpha.waitUntil(role: "active")
    try beta.start()
    try beta.waitUntil(role: "standby")
    // Both again, one after the other, without what they knew of each other.
    beta.process?.kill()
    try beta.start()
    try beta.waitUntil(role: "standby")
    #expect(try alpha.status().pairs.first?.role == "active")
    alpha.process?.kill()
    try alpha.process?.wait(until: .seconds(10))
    try alpha.fence()
    try beta.waitUntil(role: "active")
    try alpha.start()
    try alpha.waitUntil(role: "standby")
    try link("-D")
    try beta.waitUntil(role: "active", replication: "synced")
    for host in [alpha, beta] {
      let rejected = try #require(try host.status().pairs.first).rejectedHeartbeats
      #expect(rejected["forged"] == 0 && rejected["reflected"] == 0 && rejected["malformed"] == 0, "\(rejected)")
    }
  }

  /// As docs/security.md tells it, under a connection that goes on.
  @Test func aKeyIsChangedWithoutAnInterruption() throws {
    var options = DaemonHost.Options()
    options.security = .tls()
    let pair = try ProtectedPair(options: options)
    try pair.startServer(on: .alpha)
    let client = try pair.connect(.pingpong)
    let old = try HostKeys.of(.alpha), new = try HostKeys("alpha-new")
    try pair.beta.edit(
      replacing: "\"\(old.fingerprint)\"", with: "[\"\(old.fingerprint)\", \"\(new.fingerprint)\"]")
    try pair.beta.restart()
    try pair.alpha.waitUntil(role: "active", replication: "synced")
    try pair.startServer(on: .beta)
    try wait(for: "the connection to be protected again", until: .seconds(20)) {
      try pair.alpha.connections().first?.protected == true
    }
    try pair.alpha.edit(replacing: old.key, with: new.key)
    try pair.alpha.edit(replacing: old.certificate, with: new.certificate)
    try pair.alpha.restart()
    try pair.beta.waitUntil(role: "active", replication: "synced")
    try pair.beta.edit(
      replacing: "[\"\(old.fingerprint)\", \"\(new.fingerprint)\"]", with: "\"\(new.fingerprint)\"")
    client.finish(at: client.progress.least + 64 * 50)
    let report = try client.report(until: .seconds(60))
    #expect(report.failures.isEmpty, "\(report.failures)\(pair.explanation)")
    // Had it been stolen, the old key would be worth nothing from beta's next start on.
    try pair.beta.restart()
    try pair.alpha.waitUntil(role: "active", replication: "synced")
  }

  /// With different ideas of security no byte is replicated, and both say why.
  @Test func aPlaintextHostIsNoPeerOfOneWithTLS() throws {
    let topology = try Topology()
    let alpha = try DaemonHost(.alpha, in: topology, options: try Self.options)
    let beta = try DaemonHost(.beta, in: topology)
    try alpha.start()
    try alpha.waitUntil(role: "active")
    try beta.start()
    try wait(for: "alpha to say why: \(alpha.log)", until: .seconds(20)) {
      alpha.log.contains("it is not authenticated")
    }
    try wait(for: "alpha to refuse beta", until: .seconds(20)) {
      try alpha.status().pairs.first?.rejectedHeartbeats["forged"] ?? 0 > 0
    }
    #expect(try alpha.status().pairs.first?.replication == "exposed")
    #expect(beta.log.contains("in plaintext"))
  }
}
