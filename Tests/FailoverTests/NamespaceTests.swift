import Glibc
import Lab
import Testing

/// The laboratory's own ground: what the failover tests stand on must itself hold.
@Suite(.serialized)
struct NamespaceTests {
  @Test func aNamespaceHasItsOwnInterfacesAndIsRemoved() throws {
    let namespace = try Namespace("own")
    #expect(namespace.name.hasPrefix("hf\(getpid())-"))
    try namespace.ip("addr", "add", "10.77.0.9/32", "dev", "lo")
    let addresses = try Tool.run("ip", "-n", namespace.name, "-o", "addr")
    #expect(addresses.contains("10.77.0.9"))
    #expect(try !Tool.run("ip", "-o", "addr").contains("10.77.0.9"))
    namespace.remove()
    #expect(!Files.exists("/run/netns/\(namespace.name)"))
  }

  @Test func aProcessRunsInsideAndDiesWithTheNamespace() throws {
    let namespace = try Namespace("dies")
    let process = try LabProcess.start("sleep", ["1000"], in: namespace)
    #expect(namespace.processes == [process.pid])
    namespace.remove()
    #expect(try process.wait(until: .seconds(5)) == 128 + SIGKILL)
  }

  /// Whatever its threads are at, and though undoing takes processes of its own.
  @Test(arguments: [SIGINT, SIGTERM])
  func aLaboratoryThatIsInterruptedLeavesNothing(signal: Int32) throws {
    let laboratory = try LabProcess.start(
      Products.path(of: "holdfast-lab"), ["chaos", "--seconds", "60", "--output", Scratch.subfolder("interrupted")])
    func left() -> [String] { Files.list("/run/netns").filter { $0.hasPrefix("hf\(laboratory.pid)-") } }
    try wait(for: "its hosts to be under way: \(laboratory.standardError)", until: .seconds(30)) {
      // The daemon and the application.
      guard let beta = left().first(where: { $0.hasSuffix("beta") }) else { return false }
      return try Tool.run("ip", "netns", "pids", beta).split(separator: "\n").count >= 2
    }
    laboratory.signal(signal)
    #expect(try laboratory.wait(until: .seconds(30)) == 128 + signal)
    #expect(left() == [])
  }

  @Test func theCallingThreadStaysWhereItWas() throws {
    let namespace = try Namespace("stays")
    let before = Files.target(ofLink: "/proc/thread-self/ns/net")
    let inside = try namespace.run { Files.target(ofLink: "/proc/thread-self/ns/net") }
    #expect(Files.target(ofLink: "/proc/thread-self/ns/net") == before)
    #expect(inside != before)
  }

  @Test func sysctlsAreTheNamespacesOwn() throws {
    let namespace = try Namespace("sysctl")
    let before = try namespace.sysctl("net.ipv4.tcp_sack")
    try namespace.setSysctl("net.ipv4.tcp_sack", "0")
    #expect(try namespace.sysctl("net.ipv4.tcp_sack") == "0")
    #expect(try Namespace("other").sysctl("net.ipv4.tcp_sack") == before)
  }

  @Test func aToolThatFailsSaysWhatItSaid() throws {
    let failure = #expect(throws: LabError.self) { try Tool.run("ip", "link", "set", "no-such-link", "up") }
    #expect(failure?.description.contains("no-such-link") == true)
  }
}
