import DaemonSupport
import LinuxNetwork
import TCPModel
import Testing

@testable import HoldfastProxy

private let good = """
  [proxy]
  control = "/run/holdfast/control.sock"
  service = "web-proxy"
  unprotected = "refuse"
  drain_timeout = "5min"
  threads = 2

  [[frontend]]
  name = "web"
  listen = ["10.77.0.100:80", "[fd77::100]:80"]
  backend = "web"
  max_connections = 500
  idle_timeout = "10min"

  [[backend]]
  name = "web"
  servers = ["10.77.0.20:80", "10.77.0.21:80"]
  source = ["10.77.0.100"]
  balance = "source_hash"
  proxy_protocol = "v2"
  connect_timeout = "2s"
  check = "connect"
  check_interval = "500ms"
  check_timeout = "200ms"
  rise = 1
  fall = 2

  """

@Suite struct ProxyConfigurationTests {
  private func parse(_ text: String) throws(ConfigurationError) -> ProxyConfiguration {
    try ProxyConfiguration.parse(text, file: "p.toml")
  }

  @Test func everyKeyIsRead() throws {
    let configuration = try parse(good)
    #expect(configuration.service == "web-proxy" && configuration.unprotected == .refuse)
    #expect(configuration.drainTimeout == 300_000_000_000 && configuration.threads == 2)
    let frontend = try #require(configuration.frontends.first)
    #expect(frontend.listen.map(\.description) == ["10.77.0.100:80", "[fd77::100]:80"])
    #expect(frontend.maxConnections == 500 && frontend.idleTimeout == 600_000_000_000)
    let backend = try #require(configuration.backends.first)
    #expect(backend.balance == .sourceHash && backend.header == .v2 && backend.connectTimeout == 2_000_000_000)
    #expect(backend.checkInterval == 500_000_000 && backend.checkTimeout == 200_000_000)
    #expect(backend.rise == 1 && backend.fall == 2 && backend.source == [IPAddress("10.77.0.100")])
  }

  @Test func mostKeysHaveDefaults() throws {
    let configuration = try parse(
      """
      [[frontend]]
      name = "web"
      listen = ["10.77.0.100:80"]
      backend = "web"
      [[backend]]
      name = "web"
      servers = ["10.77.0.20:80"]
      """)
    #expect(configuration.service == "holdfast-proxy" && configuration.unprotected == .serve)
    #expect(configuration.frontends[0].idleTimeout == nil)
    let server = configuration.backends[0].servers[0]
    let called = try #require(IPAddress("10.77.0.100"))
    #expect(configuration.backends[0].source(for: server, client: called) == called)
  }

  @Test(arguments: [
    ("threads = 2", "thread = 2", "proxy.thread: unknown key; did you mean \"threads\"?"),
    ("threads = 2", "threads = \"two\"", "proxy.threads: expected a number of threads from 1 to 256, found"),
    ("\"refuse\"", "\"drop\"", "proxy.unprotected: expected \"serve\" or \"refuse\", found \"drop\""),
    ("backend = \"web\"", "backend = \"wep\"", "frontend[0].backend: there is no [[backend]] named \"wep\""),
    ("\"[fd77::100]:80\"", "\"10.77.0.100:80\"", "frontend[0].listen[1]: frontend[0] listens on 10.77.0.100:80"),
    ("\"[fd77::100]:80\"", "80", "frontend[0].listen[1]: expected an array of addresses with ports"),
    ("\"[fd77::100]:80\"", "\"[fd77::100]\"", "frontend[0].listen[1]: expected an address and a port"),
    ("source = [\"10.77.0.100\"]", "", "frontend[0].backend: [fd77::100]:80 and the server 10.77.0.20:80 are"),
    ("source = [\"10.77.0.100\"]", "source = [\"eth0\"]", "backend[0].source[0]: expected an address such as"),
    ("10.77.0.21:80", "10.77.0.20:80", "backend[0].servers: a server is listed twice"),
    ("servers = [\"10.77.0.20:80\", \"10.77.0.21:80\"]", "servers = []", "backend[0].servers: is missing"),
    ("\"source_hash\"", "\"sticky\"", "backend[0].balance: expected \"round_robin\" or \"least_connections\""),
    ("\"v2\"", "2", "backend[0].proxy_protocol: expected \"none\" or \"v1\" or \"v2\", found the integer 2"),
    ("fall = 2", "fall = 0", "backend[0].fall: expected a number of checks from 1 to 100, found 0"),
    ("\"10min\"", "10", "frontend[0].idle_timeout: expected a duration"),
    ("max_connections = 500", "max_connections = 0", "frontend[0].max_connections: expected a number of connections"),
    ("[[backend]]", "[backend]", "backend: expected an array of tables, found a table"),
  ])
  func aMistakeIsNamedByItsPlace(old: String, new: String, message: String) throws {
    let text = good.replacing(old, with: new, maxReplacements: 1)
    #expect(text != good)
    let error = #expect(throws: ConfigurationError.self) { try parse(text) }
    #expect(error?.description.contains("p.toml: \(message)") == true, "\(error.map { "\($0)" } ?? "")")
  }

  @Test func aFileWithoutTablesSaysWhatIsMissing() {
    let error = #expect(throws: ConfigurationError.self) { try parse("[proxy]\n") }
    #expect(error?.description == "p.toml: frontend: is missing; expected at least one table [[frontend]]")
  }

  @Test func theSampleIsValid() throws {
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let configuration = try ProxyConfiguration.load(path: "\(root)/etc/holdfast/holdfast-proxy.toml")
    #expect(configuration.frontends.count == 1 && configuration.backends.count == 1)
  }
}
