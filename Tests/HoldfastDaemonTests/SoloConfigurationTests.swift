import HoldfastDaemon
@testable import HostConfiguration
import LinuxNetwork
import TCPModel
import Testing

/// `[pair.solo]`: who is asked before this host acts alone.
@Suite struct SoloConfigurationTests {
  static func parse(_ lines: String) throws -> Configuration.Pair.Solo {
    let text = """
      [node]
      name = "alpha"
      [[pair]]
      name = "web"
      addresses = ["10.77.0.100/24 dev eth0"]
      prefer = "active"
      [pair.replication]
      local = "10.78.0.1:7411"
      peer = "10.78.0.2:7411"
      security = "none"
      [pair.heartbeat]
      paths = [{ local = "10.78.0.1:7412", peer = "10.78.0.2:7412" }]
      [pair.solo]
      \(lines)
      """
    return try Configuration.parse(text, file: "f.toml").pairs[0].solo
  }

  @Test func etcdIsConfiguredAsItStands() throws {
    let solo = try Self.parse(
      """
      arbiter = "etcd"
      endpoints = ["https://10.77.0.30:2379", "https://[fd77::30]:2379", "https://etcd-3.example:2379"]
      ca = "/etc/holdfast/etcd-ca.crt"
      certificate = "/etc/holdfast/etcd.crt"
      key = "/etc/holdfast/etcd.key"
      prefix = "/lab"
      lease = "10s"
      timeout = "700ms"
      """)
    guard case .etcd(let etcd) = solo.arbiter else {
      Issue.record("\(solo.arbiter)")
      return
    }
    #expect(etcd.endpoints == ["https://10.77.0.30:2379", "https://[fd77::30]:2379", "https://etcd-3.example:2379"])
    #expect(etcd.authorities == "/etc/holdfast/etcd-ca.crt")
    #expect(etcd.certificate == "/etc/holdfast/etcd.crt" && etcd.key == "/etc/holdfast/etcd.key")
    #expect(etcd.prefix == "/lab" && etcd.lease == 10_000_000_000 && etcd.timeout == 700_000_000)
  }

  @Test func etcdNeedsNothingButAnEndpoint() throws {
    let solo = try Self.parse("arbiter = \"etcd\"\nendpoints = [\"http://10.77.0.30:2379\"]")
    var expected = Configuration.Pair.Etcd(endpoints: ["http://10.77.0.30:2379"])
    expected.prefix = "/holdfast/"
    expected.lease = 3_000_000_000
    expected.timeout = 1_000_000_000
    #expect(solo.arbiter == .etcd(expected))
  }

  @Test func witnessesAreAddresses() throws {
    let solo = try Self.parse("witnesses = [\"10.77.0.254\", \"fd77::254\"]")
    #expect(solo.witnesses.map { "\($0)" } == ["10.77.0.254", "fd77::254"])
  }

  struct Mistake: Sendable, CustomTestStringConvertible {
    var lines: String
    var error: String
    init(_ lines: String, _ error: String) {
      self.lines = lines
      self.error = error
    }
    var testDescription: String { error }
  }

  static let etcd = "arbiter = \"etcd\"\nendpoints = [\"https://10.77.0.30:2379\"]\n"
  static let mistakes = [
    Mistake("arbiter = \"etcd\"", "endpoints: is missing; expected an array of endpoints such as"),
    Mistake("arbiter = \"etcd\"\nendpoints = [\"10.77.0.30:2379\"]", "endpoints[0]: expected http:// or https://"),
    Mistake("arbiter = \"etcd\"\nendpoints = [\"https://10.77.0.30\"]", "endpoints[0]: expected http:// or https://"),
    Mistake(
      "arbiter = \"etcd\"\nendpoints = [\"https://10.77.0.30:2379/v3\"]", "endpoints[0]: expected http:// or https://"),
    Mistake(
      "arbiter = \"etcd\"\nendpoints = [\"http://10.77.0.30:2379\"]\nca = \"/ca\"",
      "endpoints[0]: http://10.77.0.30:2379 has no TLS, and ca or certificate is given"),
    Mistake(
      etcd + "certificate = \"/c\"", "key: is missing; expected the path of the key: etcd is shown both or neither"),
    Mistake(
      etcd + "key = \"/k\"",
      "certificate: is missing; expected the path of the certificate: etcd is shown both or neither"),
    Mistake(etcd + "ca = \"keys/ca\"", "ca: expected an absolute path"),
    Mistake(etcd + "prefix = \"\"", "prefix: expected 1 to 200 bytes"),
    Mistake(etcd + "lease = \"1s\"", "lease: expected a duration from 2s to 60s"),
    Mistake(
      etcd + "lease = \"2s\"\ntimeout = \"3s\"",
      "timeout: 3s is more than the lease of 2s, which would end meanwhile"),
    Mistake(etcd + "witnesses = [\"10.77.0.254\"]", "witnesses: is for arbiter = \"none\""),
    Mistake("arbiter = \"external\"\npolicy = \"hold\"", "policy: \"hold\" would keep this host from"),
    Mistake("arbiter = \"external\"\nprefix = \"/x\"", "prefix: is for arbiter = \"etcd\""),
    Mistake("lease = \"5s\"", "lease: is for arbiter = \"etcd\""),
    Mistake("witnesses = [\"router\"]", "witnesses[0]: expected an array of addresses such as"),
    Mistake("witnesses = [\"10.77.0.100\"]", "witnesses[0]: 10.77.0.100 is a service address"),
    Mistake(
      "policy = \"hold\"\nwitnesses = [\"10.77.0.254\"]", "witnesses: nobody is asked with policy = \"hold\""),
  ]

  @Test(arguments: mistakes)
  func aMistakeIsNamedByItsPlace(_ mistake: Mistake) {
    do {
      _ = try Self.parse(mistake.lines)
      Issue.record("accepted")
    } catch {
      #expect("\(error)".contains("pair[0].solo.\(mistake.error)"), "\(error)")
    }
  }
}
