import Glibc
import Lab
import TCPModel
import Testing

/// What the proxy's configuration promises, seen from both ends of its sessions.
@Suite(.serialized)
struct ProxyWireTests {
  @Test func theServerIsToldTheClientByVersion1AndOnlyOnce() throws {
    let bench = try ProxyBench(backend: "check = \"none\"\nproxy_protocol = \"v1\"")
    let session = try bench.session()
    let client = try #require(session.client.socket.localEndpoint)
    try session.client.send("hello")
    try session.server.receive(
      "PROXY TCP4 \(Addresses.client) \(Addresses.service4) \(client.port) \(ProxyBench.port)\r\nhello")
    for _ in 0..<2 {
      try bench.lab.crash()
      try session.client.send("again")
      try session.server.receive("again")
      try session.server.send("answer")
      try session.client.receive("answer")
      try bench.lab.revive()
    }
  }

  @Test func aSessionOnWhichNothingMovesIsResetIfTheFrontendSaysSo() throws {
    let bench = try ProxyBench(frontend: "idle_timeout = \"300ms\"")
    let session = try bench.session()
    try session.client.send("hello")
    try session.server.receive("hello")
    try session.client.receiveReset()
    try session.server.receiveReset()
    let proxy = try #require(bench.lab.proxy(on: .alpha))
    #expect(proxy.standardError.contains("nothing moved for 300 ms"))
    try wait(for: "alpha to forget the session", until: .seconds(20), every: 20) {
      try bench.lab.pair.alpha.connections().isEmpty
    }
  }

  /// Four servers and twelve clients with addresses of their own. Each client finds its server again, on the other host, too;
  /// and when one server goes only its own clients move.
  @Test func aClientGetsTheSameServerOnBothHosts() throws {
    var options = ProxiedPair.Options()
    options.backend = "balance = \"source_hash\"\ncheck = \"none\""
    let servers = (20...23).map { "10.77.0.\($0)" }
    let clients = (40...51).map { "10.77.0.\($0)" }
    options.servers = servers
    options.prepare = { topology in
      for address in servers.dropFirst() { try topology.server?.ip("addr", "add", "\(address)/24", "dev", "eth0") }
      for address in clients { try topology.client.ip("addr", "add", "\(address)/24", "dev", "eth0") }
    }
    let bench = try ProxyBench(options)
    var listeners = [bench.listener]
    for address in servers.dropFirst() {
      listeners.append(
        try bench.lab.server.run { try TCPSocket.listen(on: try Endpoint(address, ProxyBench.port)) })
    }
    var kept: [(ProxyStream, TCPSocket)] = []
    let service = try Endpoint(Addresses.service4, ProxyBench.port).address
    /// Which server gets a client.
    func place(of client: String) throws -> Int {
      let stream = try bench.connect(from: client)
      var found: Int?
      try wait(for: "\(client)'s server\(bench.lab.explanation)", until: .seconds(20)) {
        for (index, listener) in listeners.enumerated() {
          while let socket = try listener.accept() {
            guard socket.peerEndpoint?.address == service else { continue }
            found = index
            kept.append((stream, socket))
          }
        }
        return found != nil
      }
      return try #require(found)
    }
    let places = try clients.map(place)
    #expect(Set(places).count > 1, "\(places)")
    #expect(try clients.map(place) == places)
    try bench.lab.waitForSessions(2 * clients.count)
    try bench.lab.crash()
    #expect(try clients.map(place) == places)
    let gone = places[0]
    shutdown(listeners[gone].number, Int32(SHUT_RDWR))
    listeners[gone] = try bench.lab.server.run { try TCPSocket.listen(on: try Endpoint(Addresses.server, 9)) }
    let later = try clients.map(place)
    for (before, after) in zip(places, later) {
      if before == gone { #expect(after != gone) } else { #expect(after == before) }
    }
  }

  /// The daemon takes one session's two connections and no more.
  @Test(arguments: ["refuse", "serve"])
  func whatIsNotProtectedIsRefusedOrServedAsConfigured(_ policy: String) throws {
    var options = ProxiedPair.Options()
    options.backend = "check = \"none\""
    options.proxy = "unprotected = \"\(policy)\""
    options.daemon.more = "[[service]]\nname = \"holdfast-proxy\"\nconnections = 2"
    let bench = try ProxyBench(options)
    let session = try bench.session()
    let second = try bench.connect()
    let other = try bench.accept()
    if policy == "refuse" {
      try second.receiveReset()
      #expect(try other.pending() == 0)
    } else {
      try second.send("all the same")
      try other.receive("all the same")
      try other.send("yes")
      try second.receive("yes")
    }
    let log = try #require(bench.lab.proxy(on: .alpha)).standardError
    #expect(log.contains(policy == "refuse" ? "refused" : "served unprotected") && log.contains("service.connections"))
    try session.client.send("mine goes on")
    try session.server.receive("mine goes on")
    #expect(try bench.lab.pair.alpha.connections().count == 2)
  }

  /// A stop waits no longer than it is told to; what is left is the next proxy's.
  @Test func anOrderlyStopLeavesBehindWhatDoesNotEndInTime() throws {
    var options = ProxiedPair.Options()
    options.backend = "check = \"none\""
    options.proxy = "drain_timeout = \"200ms\""
    let bench = try ProxyBench(options)
    let session = try bench.session()
    try session.client.send("before, ")
    try session.server.receive("before, ")
    let proxy = try #require(bench.lab.proxy(on: .alpha))
    proxy.signal(SIGTERM)
    #expect(try proxy.wait(until: .seconds(20)) == 0, "\(proxy.standardError)")
    #expect(proxy.standardError.contains("leaves sessions behind"))
    try session.client.send("meanwhile, ")
    try bench.lab.startProxy(on: .alpha)
    try session.server.receive("meanwhile, ")
    try session.server.send("answer")
    try session.client.receive("answer")
    #expect(bench.lab.pair.beta.takeover == nil)
  }

  /// Clients that do not read while their servers send all they can: what the proxy holds of each is bounded by its buffer,
  /// 64 KiB, and the rest stays in the kernels, which stop the servers.
  @Test func clientsThatDoNotReadCostTheProxyNoMoreThanItsBuffers() throws {
    let bench = try ProxyBench()
    let count = 24
    var sessions: [(client: ProxyStream, server: ProxyStream)] = []
    for _ in 0..<count { sessions.append((try bench.connect(receiveBuffer: 8192), try bench.accept())) }
    try bench.lab.waitForSessions(count)
    let proxy = try #require(bench.lab.proxy(on: .alpha))
    func memory() throws -> Int {
      let line = try Files.read("/proc/\(proxy.pid)/status").split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
      return (Int(line?.filter(\.isNumber) ?? "") ?? 0) << 10
    }
    let before = try memory()
    let piece = [UInt8](repeating: 1, count: 1 << 18)
    var taken = 0
    var still = 0
    try wait(for: "the servers to be stopped\(bench.lab.explanation)", until: .seconds(120), every: 10) {
      let last = taken
      for session in sessions {
        while let count = try piece.withUnsafeBytes({ try session.server.socket.write($0) }) { taken += count }
      }
      still = taken == last ? still + 1 : 0
      return still == 100
    }
    let growth = try memory() - before
    // What the servers could send is in the kernels' buffers, far more than what the proxy has.
    #expect(taken > count << 19, "\(taken) bytes")
    #expect(
      growth < count * 2 * Self.buffer + (6 << 20), "\(growth) bytes for \(count) sessions, \(taken) bytes under way")
    // And nobody else waits for them.
    let other = try bench.connect()
    let server = try bench.accept()
    try other.send("quick")
    try server.receive("quick")
    // It comes when it is asked for.
    #expect(try sessions[0].client.receive(1 << 20).allSatisfy { $0 == 1 })
  }
  private static let buffer = 1 << 16

  /// The host dies while both legs are being registered: nothing was forwarded, and the host that goes on knows nothing of it.
  @Test func aClientThatIsNotProtectedYetHasExchangedNothing() throws {
    let bench = try ProxyBench()
    let kept = try bench.session()
    let daemon = try #require(bench.lab.pair.alpha.process)
    // It answers no call any more; the proxy waits for it.
    daemon.signal(SIGSTOP)
    let client = try bench.connect()
    let server = try bench.accept()
    try client.send("is anybody there?")
    #expect(try server.pending() == 0)
    try bench.lab.crash()
    try kept.client.send("still here")
    try kept.server.receive("still here")
    #expect(try server.pending() == 0 && client.pending() == 0)
    #expect(try bench.lab.pair.beta.connections().count == 2)
  }

  @Test func legsThatWouldNotMoveTogetherAreRefusedAtTheStart() throws {
    let bench = try ProxyBench()
    let daemon = bench.lab.pair.alpha
    let path = "\(daemon.folder)/other.toml"
    let text = try Files.read("\(daemon.folder)/holdfast-proxy.toml")
    let parts = text.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.hasPrefix("source") ? "source = [\"\(Addresses.alpha)\"]" : String($0)
    }
    try Files.write(parts.joined(separator: "\n"), to: path)
    let proxy = try LabProcess.start(Products.path(of: "holdfast-proxy"), ["--config", path], in: daemon.namespace)
    #expect(try proxy.wait(until: .seconds(20)) == 1)
    let said = proxy.standardError
    #expect(
      said.contains("\(Addresses.alpha), which belongs to no pair") && said.contains("source address of pair"),
      "\(said)")
  }
}
