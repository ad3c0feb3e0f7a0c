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

  @Test func aBenchmarkDoesNotNoticeTheCrash() throws {
    let lab = try start()
    let benchmark = try lab.client(
      "redis-benchmark", ["-h", Addresses.service4, "-c", "20", "-n", "200000", "-t", "set,incr", "-P", "4", "--csv"])
    try lab.waitForSessions(20)
    #expect(benchmark.isRunning, "it is over before the crash")
    try lab.crash()
    #expect(try benchmark.wait(until: .seconds(120)) == 0, "\(benchmark.standardError)\(lab.explanation)")
    // It ends at the first error and names it.
    #expect(!benchmark.standardError.contains("Error"), "\(benchmark.standardError)")
    let counter = try Tool.run("redis-cli", ["-h", Addresses.server, "GET", "counter:__rand_int__"], in: lab.server)
    #expect(counter == "200000\n", "INCR was lost or done twice")
  }

  @Test func aSubscriberHearsEveryMessageOnce() throws {
    let lab = try start()
    let subscriber = try lab.client("redis-cli", ["-h", Addresses.service4, "SUBSCRIBE", "news"])
    try lab.waitForSessions(1)
    try wait(for: "the subscription", until: .seconds(20)) { subscriber.standardOutput.contains("subscribe") }
    func publish(_ numbers: Range<Int>) throws {
      let script = numbers.map { "PUBLISH news message-\($0)-\n" }.joined()
      try Tool.run("redis-cli", ["-h", Addresses.server], input: script, in: lab.server)
    }
    try publish(0..<500)
    try wait(for: "the first messages", until: .seconds(20)) { subscriber.standardOutput.contains("message-499-") }
    // Some before the crash of which nobody waits to hear, some while nobody owns the address, some after.
    try publish(500..<1000)
    try lab.pair.topology.crash(.alpha)
    try publish(1000..<1500)
    try lab.pair.waitForTakeover()
    try publish(1500..<2000)
    try wait(for: "the last message\(lab.explanation)", until: .seconds(60)) {
      subscriber.standardOutput.contains("message-1999-")
    }
    let heard = subscriber.standardOutput.split(separator: "\n").filter { $0.hasPrefix("message-") }
    #expect(heard == (0..<2000).map { "message-\($0)-" })
    #expect(lab.pair.beta.takeover?.lostConnections == 0)
  }
}
