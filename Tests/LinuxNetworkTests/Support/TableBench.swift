import Glibc
import Lab
import LinuxNetwork
import SystemCalls
import TCPModel
import Testing

/// What the packet table's tests share: the rules of one pair, and a look at the table with nft(8).
enum TableBench {
  static let rules = TableRules(pair: "web", ingressQueue: 20, egressQueue: 21)

  /// The kernel lets a table belong to a process (Linux 6.9).
  static var hasOwnership: Bool {
    var name = utsname()
    uname(&name)
    let release = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let parts = release.split(separator: ".").compactMap { Int($0) }
    return (parts.first ?? 0, parts.dropFirst().first ?? 0) >= (6, 9)
  }

  static func table(_ wire: Wire, owned: Bool = true, _ flows: Flow...) throws -> PacketTable {
    let table = try wire.host.run { try PacketTable(owned: owned) }
    try table.replace(with: [rules], flows: ["web": Set(flows)])
    return table
  }

  static func ruleset(_ namespace: Namespace) throws -> String {
    try Tool.run("nft", ["list", "ruleset"], in: namespace)
  }

  /// How many packets have reached each queue's rules: what arrives and what leaves, both families together.
  static func counts(_ namespace: Namespace) throws -> (ingress: Int, egress: Int) {
    func sum(_ chain: String) throws -> Int {
      try Tool.run("nft", ["list", "chain", "inet", "holdfast", chain], in: namespace).split(separator: "\n").reduce(0)
      {
        let words = $1.split(separator: " ")
        return $0 + (words.firstIndex(of: "packets").flatMap { Int(words[$0 + 1]) } ?? 0)
      }
    }
    return (try sum("web-in"), try sum("web-out"))
  }

  /// Lets everything go on that waits.
  static func pass(_ queue: PacketQueue, _ look: (QueuedPacket) -> Void = { _ in }) throws {
    var failure: SystemCallError?
    _ = try queue.receive { packet in
      look(packet)
      do throws(SystemCallError) { try queue.accept(packet.id, in: packet.queue) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}

extension Line {
  /// As it is on the wire.
  var flow: Flow { get throws { try dump().state.flow } }
}
