import FoundationEssentials
@testable import HostConfiguration
import LinuxNetwork
import SystemPackage
import TCPModel
import TLSTransport
import Testing

@testable import DaemonSupport
@testable import HoldfastDaemon

/// A whole configuration of which each test changes one thing.
private let good = """
  [node]
  name = "alpha"

  [[pair]]
  name = "web"
  addresses = ["10.77.0.100/24 dev eth0", "fd77::100/64 dev eth0"]
  prefer = "active"

  [pair.replication]
  local = "10.78.0.1:7411"
  peer = "10.78.0.2:7411"
  security = "none"

  [pair.heartbeat]
  paths = [
    { local = "10.78.0.1:7412", peer = "10.78.0.2:7412" },
    { local = "[fd77::1]:7412", peer = "[fd77::2]:7412" },
  ]
  """

private let second = """

  [[pair]]
  name = "mail"
  addresses = ["10.77.0.101/24 dev eth0"]
  prefer = "standby"
  [pair.replication]
  local = "10.78.0.1:7413"
  peer = "10.78.0.2:7413"
  security = "none"
  [pair.heartbeat]
  paths = [ { local = "10.78.0.1:7414", peer = "10.78.0.2:7414" } ]
  """

private let pin = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

private func parse(_ text: String) throws(ConfigurationError) -> Configuration {
  try Configuration.parse(text, file: "test.toml")
}

@Suite struct ConfigurationTests {
  @Test func whatIsNotSaidHasItsDefault() throws {
    let configuration = try parse(good)
    let node = configuration.node
    #expect(node.name == "alpha")
    #expect(node.control == "/run/holdfast/control.sock")
    #expect(node.controlMode == 0o660)
    #expect(node.controlGroup == nil)
    #expect(!node.hasMarkMask)
    #expect(node.ownedTable)
    #expect(node.queueBase == 4200)
    #expect(node.adoptTimeout == 5_000_000_000)
    let pair = try #require(configuration.pairs.first)
    #expect(configuration.pairs.count == 1)
    #expect(pair.name == "web")
    #expect(pair.addresses.map(\.description) == ["10.77.0.100/24 dev eth0", "fd77::100/64 dev eth0"])
    #expect(pair.prefer == .active)
    #expect(pair.replication.local.description == "10.78.0.1:7411")
    #expect(pair.replication.peer.description == "10.78.0.2:7411")
    #expect(pair.replication.security == .none)
    #expect(pair.heartbeat.paths.map(\.peer.description) == ["10.78.0.2:7412", "[fd77::2]:7412"])
    #expect(pair.announceRefresh == 60_000_000_000)
    #expect(pair.heartbeat.interval == 50_000_000)
    #expect(pair.heartbeat.deadAfter == 200_000_000)
    #expect(pair.solo.arbiter == .none)
    #expect(pair.solo.policy == .allow)
    #expect(pair.solo.exposeAfter == 500_000_000)
  }

  @Test func silenceMeansTLS() throws {
    let text = good.replacing("security = \"none\"", with: "peer_fingerprint = \"\(pin)\"")
    let pair = try #require(try parse(text).pairs.first)
    guard case .tls(let trust) = pair.replication.security else {
      Issue.record("\(pair.replication.security)")
      return
    }
    #expect(trust.certificate == "/etc/holdfast/holdfast.crt" && trust.key == "/etc/holdfast/holdfast.key")
    #expect(trust.peers == [try #require(Fingerprint(pin))])
    let other = String(pin.dropLast()) + "9"
    let both = good.replacing(
      "security = \"none\"",
      with: "security = \"tls\"\npeer_fingerprint = [\"\(pin)\", \"\(other)\"]\ncertificate = \"/c\"\nkey = \"/k\"")
    guard case .tls(let trust) = try #require(try parse(both).pairs.first).replication.security else { return }
    #expect(trust.peers.count == 2 && trust.certificate == "/c" && trust.key == "/k")
  }

  @Test func everyKeyIsTaken() throws {
    let node = """
      name = "alpha"
      control = "/run/other.sock"
      control_mode = "0600"
      control_group = "web"
      mark_mask = 0xf0f
      owned_table = false
      queue_base = 100
      adopt_timeout = "2min"
      """
    let text =
      good.replacing(#"name = "alpha""#, with: node)
        + """

        interval = "10ms"
        dead_after = "500us"
        [pair.solo]
        arbiter = "none"
        policy = "hold"
        expose_after = "0s"
        """.replacing("500us", with: "35ms")
    let configuration = try parse(text + second)
    #expect(configuration.node.control == "/run/other.sock")
    #expect(configuration.node.controlMode == 0o600)
    #expect(configuration.node.controlGroup == "web")
    // Of an earlier release; whatever it says.
    #expect(configuration.node.hasMarkMask)
    #expect(!configuration.node.ownedTable)
    #expect(configuration.node.queueBase == 100)
    #expect(configuration.node.adoptTimeout == 120_000_000_000)
    #expect(configuration.pairs.map(\.name) == ["web", "mail"])
    #expect(configuration.pairs.map(\.prefer) == [.active, .standby])
    let pair = configuration.pairs[0]
    #expect(pair.heartbeat.interval == 10_000_000)
    #expect(pair.heartbeat.deadAfter == 35_000_000)
    #expect(pair.solo.policy == .hold)
    #expect(pair.solo.exposeAfter == 0)
  }

  @Test(arguments: [("0", 0), ("1s", 1_000_000_000), ("30min", 1_800_000_000_000)] as [(String, UInt64)])
  func theNeighboursAreToldAnewOrNever(text: String, time: UInt64) throws {
    let line = "prefer = \"active\"\nannounce_refresh = \"\(text)\""
    #expect(try parse(good.replacing("prefer = \"active\"", with: line)).pairs.first?.announceRefresh == time)
  }

  @Test func linksAreTrackedUnlessTheFileSaysOtherwise() throws {
    let standard = try #require(try parse(good).pairs.first)
    #expect(standard.tracksLinks && standard.linkDownAfter == 500_000_000 && standard.witnesses.isEmpty)
    let prefer = #"prefer = "active""#
    func pair(_ keys: String, solo: String = "") throws -> Configuration.Pair {
      try #require(
        try parse(good.replacing(prefer, with: "\(prefer)\n\(keys)") + "\n[pair.solo]\n\(solo)\n").pairs.first)
    }
    let off = try pair("track_links = false\nlink_down_after = \"2s\"")
    #expect(!off.tracksLinks && off.linkDownAfter == 2_000_000_000)
    let own = #"witnesses = ["10.77.0.254", "fd77::254"]"#
    #expect(try pair(own).witnesses.map { "\($0)" } == ["10.77.0.254", "fd77::254"])
    // Those of [pair.solo] serve for both, unless the pair has its own, or says that it has none.
    let solo = #"witnesses = ["10.77.0.253"]"#
    #expect(try pair("", solo: solo).witnesses.map { "\($0)" } == ["10.77.0.253"])
    let both = try pair(own, solo: solo)
    #expect(both.witnesses.count == 2 && both.solo.witnesses.map { "\($0)" } == ["10.77.0.253"])
    #expect(try pair("witnesses = []", solo: solo).witnesses.isEmpty)
    // With an arbiter, too.
    #expect(try pair(own, solo: "arbiter = \"external\"").witnesses.count == 2)
  }

  struct Mistake: Sendable, CustomTestStringConvertible {
    let old: String
    let new: String
    let message: String
    init(_ old: String, _ new: String, _ message: String) { (self.old, self.new, self.message) = (old, new, message) }
    var testDescription: String { message }
  }

  /// What is replaced in the good configuration, by what, and what the operator then reads.
  @Test(arguments: [
    // Keys
    Mistake("prefer =", "perfer =", #"pair[0].perfer: unknown key; did you mean "prefer"?"#),
    Mistake("paths = [", "path = [", #"pair[0].heartbeat.path: unknown key; did you mean "paths"?"#),
    Mistake("[node]", "[nodes]", #"nodes: unknown key; did you mean "node"?"#),
    Mistake("prefer =", "completely_else = 1\nprefer =", "pair[0].completely_else: unknown key"),
    Mistake(
      #"{ local = "10.78.0.1:7412","#, #"{ loacl = "10.78.0.1:7412","#,
      #"pair[0].heartbeat.paths[0].loacl: unknown key; did you mean "local"?"#),
    // Missing
    Mistake("[node]\nname = \"alpha\"", "", "node: is missing; expected the table [node]"),
    Mistake(
      "name = \"alpha\"", "", #"node.name: is missing; expected a name of 1 to 64 letters, digits, ".", "_" and "-""#),
    Mistake(
      "name = \"web\"", "", #"pair[0].name: is missing; expected a name of 1 to 64 letters, digits, ".", "_" and "-""#),
    Mistake(#"prefer = "active""#, "", #"pair[0].prefer: is missing; expected "active" or "standby""#),
    Mistake(
      #"addresses = ["10.77.0.100/24 dev eth0", "fd77::100/64 dev eth0"]"#, "addresses = []",
      #"pair[0].addresses: is missing; expected an array of addresses such as "10.77.0.100/24 dev eth0", at least one"#),
    Mistake(
      #"local = "10.78.0.1:7411""#, "",
      #"pair[0].replication.local: is missing; expected an address and a port, as in "10.78.0.1:7411" or "[fd78::1]:7411""#
    ),
    Mistake(
      #"{ local = "10.78.0.1:7412", peer = "10.78.0.2:7412" },"#, #"{ local = "10.78.0.1:7412" },"#,
      "pair[0].heartbeat.paths[0].peer: is missing; expected an address and a port, as in \"10.78.0.1:7411\" or "
        + "\"[fd78::1]:7411\""),
    // Types
    Mistake(
      "name = \"alpha\"", "name = 1",
      #"node.name: expected a name of 1 to 64 letters, digits, ".", "_" and "-", found the integer 1"#),
    Mistake(
      "[pair.heartbeat]", "[pair.heartbeat]\ninterval = 50",
      #"pair[0].heartbeat.interval: expected a duration from 1ms to 60s, as in "50ms", found the integer 50"#),
    Mistake("[[pair]]", "[pair]", "pair: expected an array of tables, found a table"),
    Mistake(
      #"["10.77.0.100/24 dev eth0", "fd77::100/64 dev eth0"]"#, #""10.77.0.100/24 dev eth0""#,
      "pair[0].addresses: expected an array of addresses such as \"10.77.0.100/24 dev eth0\", found the string "
        + "\"10.77.0.100/24 dev eth0\""),
    Mistake(
      #""fd77::100/64 dev eth0"]"#, "true]",
      #"pair[0].addresses[1]: expected an array of addresses such as "10.77.0.100/24 dev eth0", found the boolean true"#
    ),
    Mistake(
      "[node]", "[node]\nqueue_base = \"1\"",
      #"node.queue_base: expected a queue number from 0 to 65534, found the string "1""#),
    Mistake(
      "[node]", "[node]\nqueue_base = 1.5",
      "node.queue_base: expected a queue number from 0 to 65534, found the number 1.5"),
    // Values
    Mistake(
      "prefer =", "announce_refresh = \"500ms\"\nprefer =",
      "pair[0].announce_refresh: expected \"0\" for never, or a duration from 1s to 86400s, as in \"60s\", found "
        + "\"500ms\""),
    Mistake(
      "name = \"web\"", "name = \"we b\"",
      #"pair[0].name: expected a name of 1 to 64 letters, digits, ".", "_" and "-", found "we b""#),
    Mistake(
      "name = \"web\"", "name = \"\"",
      #"pair[0].name: expected a name of 1 to 64 letters, digits, ".", "_" and "-", found """#),
    Mistake(
      "prefer = \"active\"", "prefer = \"master\"",
      #"pair[0].prefer: expected "active" or "standby", found "master""#),
    Mistake(
      "10.77.0.100/24", "10.77.0.300/24",
      "pair[0].addresses[0]: expected an address such as \"10.77.0.100/24 dev eth0\", found \"10.77.0.300\" is no IPv4 or "
        + "IPv6 address"),
    Mistake(
      #"local = "10.78.0.1:7411""#, #"local = "10.78.0.1""#,
      "pair[0].replication.local: expected an address and a port, as in \"10.78.0.1:7411\" or \"[fd78::1]:7411\", found "
        + "\"10.78.0.1\""),
    Mistake(
      #"local = "10.78.0.1:7411""#, #"local = "0.0.0.0:7411""#,
      "pair[0].replication.local: expected the address of one host, routable without naming an interface, found "
        + "\"0.0.0.0:7411\""),
    Mistake(
      "[fd77::1]:7412", "[fe80::1]:7412",
      "pair[0].heartbeat.paths[1].local: expected the address of one host, routable without naming an interface, found "
        + "\"[fe80::1]:7412\""),
    Mistake(
      "[pair.heartbeat]", "[pair.heartbeat]\ninterval = \"50 ms\"",
      #"pair[0].heartbeat.interval: expected a duration from 1ms to 60s, as in "50ms", found "50 ms""#),
    Mistake(
      "[pair.heartbeat]", "[pair.heartbeat]\ninterval = \"500us\"",
      #"pair[0].heartbeat.interval: expected a duration from 1ms to 60s, as in "50ms", found "500us""#),
    Mistake(
      "[node]", "[node]\ncontrol = \"control.sock\"",
      #"node.control: expected an absolute path of at most 107 bytes, found "control.sock""#),
    Mistake(
      "[node]", "[node]\ncontrol_mode = \"0888\"",
      #"node.control_mode: expected permission bits in octal, as in "0660", found "0888""#),
    Mistake("[node]", "[node]\ncontrol_group = \"\"", #"node.control_group: expected the name of a group, found """#),
    Mistake(
      "[node]", "[node]\nowned_table = \"no\"", #"node.owned_table: expected true or false, found the string "no""#),
    Mistake(
      "[node]", "[node]\nqueue_base = 65535",
      "node.queue_base: expected a queue number from 0 to 65534, found 65535"),
    // Not possible in this version
    Mistake(
      "security = \"none\"", "security = \"tls\"",
      "pair[0].replication.peer_fingerprint: is missing; expected the fingerprint that holdfastctl keygen printed on the other "
        + "host. (For a link that carries nothing but the replication of the two hosts security = \"none\" does without; then "
        + "whoever reaches the link can read and change every connection)"),
    Mistake(
      "security = \"none\"", "",
      "pair[0].replication.peer_fingerprint: is missing; expected the fingerprint that holdfastctl keygen printed on the other "
        + "host. (For a link that carries nothing but the replication of the two hosts security = \"none\" does without; then "
        + "whoever reaches the link can read and change every connection)"),
    Mistake(
      "security = \"none\"", "security = \"ssl\"",
      #"pair[0].replication.security: expected "tls" or "none", found "ssl""#),
    Mistake(
      "security = \"none\"", "peer_fingerprint = \"sha256:12\"",
      "pair[0].replication.peer_fingerprint: expected the fingerprint that holdfastctl keygen printed on the other host: 64 "
        + "hexadecimal digits, as in \"sha256:9f86…\", found \"sha256:12\""),
    Mistake(
      "security = \"none\"", "peer_fingerprint = 12",
      "pair[0].replication.peer_fingerprint: expected the fingerprint that holdfastctl keygen printed on the other host, found "
        + "the integer 12"),
    Mistake(
      "security = \"none\"", "peer_fingerprint = [\"12\"]",
      "pair[0].replication.peer_fingerprint[0]: expected the fingerprint that holdfastctl keygen printed on the other host: 64 "
        + "hexadecimal digits, as in \"sha256:9f86…\", found \"12\""),
    Mistake(
      "security = \"none\"", "peer_fingerprint = \"\(pin)\"\nkey = \"keys/mine\"",
      "pair[0].replication.key: expected an absolute path, or the name of a credential that the service manager passes, found "
        + "\"keys/mine\""),
    Mistake(
      "security = \"none\"", "peer_fingerprint = \"\(pin)\"\nkye = \"/k\"",
      "pair[0].replication.kye: unknown key; did you mean \"key\"?"),
    Mistake(
      "[pair.heartbeat]", "[pair.solo]\narbiter = \"zk\"\n[pair.heartbeat]",
      #"pair[0].solo.arbiter: expected "none", "etcd" or "external", found "zk""#),
    Mistake(
      #"prefer = "active""#, "prefer = \"active\"\ntrack_links = \"no\"",
      #"pair[0].track_links: expected true or false, found the string "no""#),
    Mistake(
      #"prefer = "active""#, "prefer = \"active\"\nlink_down_after = 5",
      #"pair[0].link_down_after: expected a duration from 0us to 3600s, as in "50ms", found the integer 5"#),
    Mistake(
      #"prefer = "active""#, "prefer = \"active\"\nwitnesses = [\"router\"]",
      #"pair[0].witnesses[0]: expected an array of addresses such as "10.77.0.254", found "router""#),
    Mistake(
      #"prefer = "active""#, "prefer = \"active\"\nwitnesses = [\"10.77.0.100\"]",
      "pair[0].witnesses[0]: 10.77.0.100 is a service address: it answers where a host is active"),
    // Together
    Mistake(
      "[pair.heartbeat]", "[pair.heartbeat]\ninterval = \"150ms\"",
      "pair[0].heartbeat.dead_after: 200ms is less than twice the interval of 150ms: one late heartbeat would be taken for "
        + "death"),
    Mistake(
      "[pair.heartbeat]", "[pair.solo]\nexpose_after = \"100ms\"\n[pair.heartbeat]",
      "pair[0].solo.expose_after: 100ms is not more than twice the heartbeat interval of 50ms: a standby could not tell that "
        + "what it holds is current"),
    Mistake(
      "peer = \"10.78.0.2:7411\"", "peer = \"10.78.0.1:7411\"",
      "pair[0].replication.peer: 10.78.0.1:7411 is local, too: a host is not its own peer"),
    Mistake(
      "peer = \"10.78.0.2:7411\"", "peer = \"[fd78::2]:7411\"",
      "pair[0].replication.peer: [fd78::2]:7411 and local = 10.78.0.1:7411 are not both IPv4 or both IPv6"),
    Mistake("fd77::100/64", "10.77.0.100/24", "pair[0].addresses[1]: 10.77.0.100 is an address of pair[0] already"),
    Mistake(
      "[fd77::2]:7412", "[fd77::100]:7412",
      "pair[0].heartbeat.paths[1].peer: fd77::100 is a service address and moves between the hosts"),
    Mistake(
      "\"[fd77::1]:7412\", peer = \"[fd77::2]:7412\"", "\"10.78.0.1:7412\", peer = \"10.78.0.3:7412\"",
      "pair[0].heartbeat.paths[1].local: 10.78.0.1:7412 belongs to a path of pair[0] already"),
    Mistake("[node]", "[node]\nqueue_base = 65533", ""),
  ])
  func aMistakeIsNamedWithItsPlace(_ mistake: Mistake) throws {
    let text = good.replacing(mistake.old, with: mistake.new, maxReplacements: 1)
    try #require(text != good)
    if mistake.message.isEmpty {
      _ = try parse(text)
    } else {
      let error = #expect(throws: ConfigurationError.self) { try parse(text) }
      #expect(error?.description == "test.toml: \(mistake.message)")
    }
  }

  @Test(arguments: [
    Mistake("name = \"mail\"", "name = \"web\"", #"pair[1].name: "web" is the name of pair[0], too"#),
    Mistake("10.77.0.101", "10.77.0.100", "pair[1].addresses[0]: 10.77.0.100 is an address of pair[0] already"),
    Mistake("10.78.0.1:7413", "10.78.0.1:7411", "pair[1].replication.local: pair[0] listens on 10.78.0.1:7411 already"),
    Mistake(
      "10.78.0.1:7414", "10.78.0.1:7412",
      "pair[1].heartbeat.paths[0].local: 10.78.0.1:7412 belongs to a path of pair[0] already"),
    Mistake(
      "10.78.0.1:7413", "10.77.0.100:7413",
      "pair[1].replication.local: 10.77.0.100 is a service address and moves between the hosts"),
    Mistake(
      "[node]", "[node]\nqueue_base = 65533",
      "node.queue_base: 2 pairs take the queues 65533 to 65536; 65535 is the last"),
  ])
  func pairsMustNotShareWhatIsOnesOwn(_ mistake: Mistake) throws {
    let text = (good + second).replacing(mistake.old, with: mistake.new, maxReplacements: 1)
    try #require(text != good + second)
    let error = #expect(throws: ConfigurationError.self) { try parse(text) }
    #expect(error?.description == "test.toml: \(mistake.message)")
  }

  @Test func aSyntaxErrorHasLineAndColumn() throws {
    let error = #expect(throws: ConfigurationError.self) { try parse("[node]\nname = \"a\"\nprefer = = 1\n") }
    guard case .syntax(let line, let column, let reason) = error?.problem else {
      Issue.record("\(error.map(String.init(describing:)) ?? "no error")")
      return
    }
    #expect(line == 3 && column == 10 && !reason.isEmpty)
    #expect(error?.description == "test.toml:3:10: \(reason)")
  }

  @Test func aKeyThatStandsTwiceIsASyntaxError() {
    let error = #expect(throws: ConfigurationError.self) { try parse("[node]\nname = \"a\"\nname = \"b\"\n") }
    #expect(error?.description.hasPrefix("test.toml:3:") == true)
  }

  @Test func withoutAPairThereIsNothingToDo() {
    #expect(
      throws: ConfigurationError(
        file: "test.toml", key: "pair", problem: .missing(expected: "at least one table [[pair]]"))
    ) {
      try parse("[node]\nname = \"a\"\n")
    }
    #expect(throws: ConfigurationError.self) { try parse("") }
  }

  @Test func aFileThatCannotBeReadSaysWhy() {
    let missing = #expect(throws: ConfigurationError.self) {
      try Configuration.load(path: "/nonexistent/holdfastd.toml")
    }
    #expect(missing?.description == "/nonexistent/holdfastd.toml: cannot be read: No such file or directory")
    let folder = #expect(throws: ConfigurationError.self) { try Configuration.load(path: "/") }
    #expect(folder?.problem == .unreadable(.isDirectory))
    let endless = #expect(throws: ConfigurationError.self) { try Configuration.load(path: "/dev/zero") }
    #expect(endless?.problem == .tooLong(limit: 1 << 20))
  }

  @Test func theSampleIsValid() throws {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let sample = try String(contentsOfFile: "/\(root)/etc/holdfast/holdfastd.toml", encoding: .utf8)
    // As it comes it says what is missing.
    let error = #expect(throws: ConfigurationError.self) { try parse(sample) }
    #expect(error?.key == "pair[0].replication.peer_fingerprint")
    let line = "paste the line that holdfastctl keygen printed on the other host"
    let pair = try #require(try parse(sample.replacing(line, with: pin)).pairs.first)
    #expect(try pair.replication.security == .tls(.init(peers: [#require(Fingerprint(pin))])))
  }

  @Test(
    arguments: [
      ("50ms", 50_000_000), ("2s", 2_000_000_000), ("500us", 500_000), ("1min", 60_000_000_000), ("0s", 0), ("", nil),
      ("ms", nil), ("50", nil), ("-1s", nil), ("+1s", nil), ("1.5s", nil), ("1h", nil), ("1S", nil), ("٣s", nil),
      ("18446744073709551615s", nil), ("99999999999999999999ms", nil),
    ] as [(String, UInt64?)])
  func durationsAreWholeNumbersWithAUnit(text: String, nanoseconds: UInt64?) {
    #expect(DurationText.nanoseconds(text) == nanoseconds)
  }

  @Test(
    arguments: [0, 1000, 1500, 35_000, 1_000_000, 1_500_000, 200_000_000, 1_000_000_000, 90_000_000_000] as [UInt64])
  func aDurationIsReadAsItIsWritten(_ nanoseconds: UInt64) {
    #expect(DurationText.nanoseconds(DurationText.text(nanoseconds)) == nanoseconds / 1000 * 1000)
  }

  @Test(arguments: [
    ("prefer", "prefer", 0), ("perfer", "prefer", 1), ("", "abc", 3), ("path", "paths", 1), ("Name", "name", 0),
  ])
  func distanceCountsSwapsOnce(_ case: (left: String, right: String, distance: Int)) {
    #expect(EditDistance.between(`case`.left, `case`.right) == `case`.distance)
  }
}
