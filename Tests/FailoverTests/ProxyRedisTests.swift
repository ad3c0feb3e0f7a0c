import Glibc
import Lab
import Testing

/// Redis behind the proxy; the proxy's host dies while its clients are at work.
@Suite(.serialized)
struct ProxyRedisTests {
  private func start() throws -> ProxiedPair {
    let lab = try ProxiedPair(port: 6379, backend: "balance = \"least_connections\"")
    try lab.serve(
      "redis-server",
      [
        "--bind", Addresses.server, "--port", "6379", "--save", "", "--appendonly", "no", "--protected-mode", "no",
        "--dir", lab.folder,
      ], port: 6379)
    return lab
  }

  /// Each round's crash comes when so many of its increments are counted.
  @Test func aBenchmarkDoesNotNoticeTheCrashes() throws {
    let lab = try start()
    let (total, crashes) = (300_000, 3)
    let benchmark = try lab.client(
      "redis-benchmark", ["-h", Addresses.service4, "-c", "20", "-n", "\(total)", "-t", "incr", "-P", "4", "--csv"])
    func counted() throws -> Int {
      let answer = try Tool.run("redis-cli", ["-h", Addresses.server, "GET", "counter:__rand_int__"], in: lab.server)
      return Int(answer.filter(\.isNumber)) ?? 0
    }
    try lab.waitForSessions(20)
    try lab.crash(times: crashes, holding: benchmark) { round in
      let before = try counted()
      try wait(for: "increments\(lab.explanation)", until: .seconds(60)) { try counted() > before + 5000 }
      #expect(benchmark.isRunning, "it is over before crash \(round)")
    }
    #expect(try benchmark.wait(until: .seconds(120)) == 0, "\(benchmark.standardError)\(lab.explanation)")
    // It ends at the first error and names it.
    #expect(!benchmark.standardError.contains("Error"), "\(benchmark.standardError)")
    #expect(try counted() == total, "INCR was lost or done twice")
  }

  @Test func aSubscriberHearsEveryMessageOnce() throws {
    let lab = try start()
    let subscriber = try lab.client("redis-cli", ["-h", Addresses.service4, "SUBSCRIBE", "news"])
    try lab.waitForSessions(1)
    try wait(for: "the subscription", until: .seconds(20)) { subscriber.standardOutput.contains("subscribe") }
    var published = 0
    func publish() throws {
      let script = (published..<published + 500).map { "PUBLISH news message-\($0)-\n" }.joined()
      try Tool.run("redis-cli", ["-h", Addresses.server], input: script, in: lab.server)
      published += 500
    }
    func hear() throws {
      try wait(for: "message \(published - 1)\(lab.explanation)", until: .seconds(60)) {
        subscriber.standardOutput.contains("message-\(published - 1)-")
      }
    }
    for round in 0..<4 {
      try publish()
      // Sometimes the host dies before anybody has heard them.
      if round % 2 == 0 { try hear() }
      try publish()
      try lab.crash()
      try publish()
      // The host that comes back finds a session that goes on and one that is at work.
      try hear()
      try lab.revive()
    }
    try publish()
    try hear()
    let heard = subscriber.standardOutput.split(separator: "\n").filter { $0.hasPrefix("message-") }
    #expect(heard == (0..<published).map { "message-\($0)-" })
  }
}
