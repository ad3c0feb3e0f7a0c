import Glibc
import Lab
import Testing

/// nginx behind the proxy and curl in front of it, neither of them changed; the proxy's host dies in the middle, and the host that
/// goes on dies, too, and so on.
@Suite(.serialized)
struct ProxyHTTPTests {
  private struct Site {
    let lab: ProxiedPair
    let content = Pattern(seed: 11).bytes(0..<(24 << 20))

    init(backend: String = "", listen: String = "") throws {
      var options = ProxiedPair.Options()
      options.backend = backend
      // So that a transfer lasts for as long as its hosts die. (curl's own limit makes good for the time in which it stood still.)
      options.prepare = { try $0.limit("48mbit") }
      lab = try ProxiedPair(ports: [80], options)
      let folder = lab.folder
      try Files.makeFolders("\(folder)/www/up")
      let content = content
      try Files.append(to: "\(folder)/www/large") { write in try write(content) }
      try Files.write(Array("small\n".utf8), to: "\(folder)/www/small")
      try Files.write(
        """
        daemon off;
        user root;
        worker_processes 1;
        pid \(folder)/nginx.pid;
        error_log \(folder)/error.log;
        events {}
        http {
          log_format plain '$remote_addr $proxy_protocol_addr $request $status';
          access_log \(folder)/access.log plain;
          client_body_temp_path \(folder)/body;
          proxy_temp_path \(folder)/proxy;
          fastcgi_temp_path \(folder)/fastcgi;
          uwsgi_temp_path \(folder)/uwsgi;
          scgi_temp_path \(folder)/scgi;
          client_max_body_size 0;
          server {
            listen \(Addresses.server):80\(listen);
            root \(folder)/www;
            location /up { dav_methods PUT; }
          }
        }

        """, to: "\(folder)/nginx.conf")
      try lab.serve("nginx", ["-c", "\(folder)/nginx.conf"], port: 80)
    }

    func curl(_ arguments: [String]) throws -> LabProcess {
      try lab.client("curl", ["--silent", "--show-error", "--fail", "--max-time", "120"] + arguments)
    }

    func url(_ path: String, host: String = Addresses.service4) -> String { "http://\(host)\(path)" }

    /// Starts a download of the large file and waits until it is under way.
    func download(to target: String, host: String = Addresses.service4) throws -> LabProcess {
      let curl = try curl(["--output", target, url("/large", host: host)])
      try waitForPart(of: target, curl)
      try lab.waitForSessions(1)
      return curl
    }

    /// Waits until it has come further.
    func waitForPart(of target: String, _ curl: LabProcess) throws {
      let before = Files.size(target)
      try wait(for: "a part of the download\(lab.explanation)", until: .seconds(60)) {
        guard curl.isRunning else { throw LabError("curl: \(curl.standardError)\(lab.explanation)") }
        return Files.size(target) > before + 2 << 20
      }
    }

    /// nginx keeps the body of a request beside its target until it is whole.
    func received() -> Int {
      Files.list("\(lab.folder)/body").map { Files.size("\(lab.folder)/body/\($0)") }.max() ?? 0
    }

    /// Waits for curl and says why it failed.
    func finish(_ curl: LabProcess) throws {
      let status = try curl.wait(until: .seconds(120))
      guard status == 0 else { throw LabError("curl: \(status): \(curl.standardError)\(lab.explanation)") }
    }
  }

  @Test func aLargeDownloadSurvivesOneHostAfterTheOther() throws {
    let site = try Site()
    let target = "\(site.lab.folder)/download"
    let curl = try site.download(to: target)
    try site.lab.crash(times: 4, holding: curl) { _ in try site.waitForPart(of: target, curl) }
    try site.finish(curl)
    #expect(try Files.readBytes(target) == site.content)
  }

  @Test func aClientOverIPv6KeepsItsServerOverIPv4() throws {
    let site = try Site()
    let target = "\(site.lab.folder)/download"
    let curl = try site.download(to: target, host: "[\(Addresses.service6)]")
    try site.lab.crash()
    try site.finish(curl)
    #expect(try Files.readBytes(target) == site.content)
  }

  /// Not the host but the proxy alone: another process on the same host goes on.
  @Test func aProxyThatIsKilledIsContinuedByTheNext() throws {
    let site = try Site()
    let target = "\(site.lab.folder)/download"
    let curl = try site.download(to: target)
    let proxy = try #require(site.lab.proxy(on: .alpha))
    proxy.kill()
    _ = try proxy.wait(until: .seconds(10))
    try site.lab.startProxy(on: .alpha)
    try site.finish(curl)
    #expect(try Files.readBytes(target) == site.content)
    #expect(site.lab.proxy(on: .alpha)?.standardError.contains("went on with") == true)
    #expect(site.lab.pair.beta.takeover == nil)
  }

  @Test func aLargeUploadSurvivesOneHostAfterTheOther() throws {
    let site = try Site()
    let (source, target) = ("\(site.lab.folder)/www/large", "\(site.lab.folder)/www/up/large")
    let curl = try site.curl(["--upload-file", source, site.url("/up/large")])
    try site.lab.crash(times: 4, holding: curl) { _ in
      let before = site.received()
      try wait(for: "a part of the upload\(site.lab.explanation)", until: .seconds(60)) {
        guard curl.isRunning else { throw LabError("curl: \(curl.standardError)\(site.lab.explanation)") }
        return site.received() > before + 2 << 20
      }
      try site.lab.waitForSessions(1)
    }
    try site.finish(curl)
    #expect(try Files.readBytes(target) == site.content)
  }

  @Test func requestsOnOneConnectionGoOnBehindThePROXYHeader() throws {
    let site = try Site(backend: "proxy_protocol = \"v2\"", listen: " proxy_protocol")
    let target = "\(site.lab.folder)/kept"
    // One connection: a small file, the large one in the middle of which hosts die, and a small one again.
    let curl = try site.curl([
      "--write-out", "%{local_port} %{num_connects}\\n", site.url("/small"), "--output",
      "\(target)1", site.url("/large"), "--output", "\(target)2", site.url("/small"), "--output", "\(target)3",
    ])
    try site.lab.crash(times: 3, holding: curl) { _ in
      try site.waitForPart(of: "\(target)2", curl)
      try site.lab.waitForSessions(1)
    }
    try site.finish(curl)
    #expect(try Files.readBytes("\(target)1") == Array("small\n".utf8))
    #expect(try Files.readBytes("\(target)2") == site.content)
    #expect(try Files.readBytes("\(target)3") == Array("small\n".utf8))
    let lines = curl.standardOutput.split(separator: "\n").map { $0.split(separator: " ") }
    #expect(lines.count == 3 && Set(lines.map { $0[0] }).count == 1, "\(curl.standardOutput)")
    #expect(lines.map { $0[1] } == ["1", "0", "0"], "curl connected again: \(curl.standardOutput)")
    let log = try Files.read("\(site.lab.folder)/access.log")
    #expect(log.split(separator: "\n").allSatisfy { $0.contains(" \(Addresses.client) GET ") }, "\(log)")
  }
}
