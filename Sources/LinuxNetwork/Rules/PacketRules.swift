internal import CLinux
internal import Glibc
public import TCPModel

/// Which packets of one pair go to its queues.
public struct PairRules: Hashable, Sendable {
  public var addresses: [IPAddress]
  public var mark: PacketMark
  public var ingressQueue: UInt16
  public var egressQueue: UInt16
  /// All TCP to the addresses, whether a socket bears the mark or not: while this host does not own them, and while it takes
  /// them over, the kernel must answer nobody.
  public var claim: Bool
  /// What would go to the queues is dropped instead, as when nobody reads them; but a packet that wants to leave does not count as
  /// sent for its socket then (nf_hook_slow returns EPERM to tcp_transmit_skb for a drop, and 0 for a queue that is not read).
  public var isMute = false

  public init(addresses: [IPAddress], mark: PacketMark, ingressQueue: UInt16, egressQueue: UInt16, claim: Bool) {
    self.addresses = addresses
    self.mark = mark
    self.ingressQueue = ingressQueue
    self.egressQueue = egressQueue
    self.claim = claim
  }
}

/// The packet rules of all pairs, in chains of our own in the mangle table.
///
/// A packet that matches while nobody reads its queue is dropped: there is no bypass, so what a crashed daemon's connections
/// have to say stays unsaid. Rules are therefore replaced in one step, never removed first. Packets over the loopback interface
/// are excepted: a peer on the same host would not survive it, and a takeover speaks to its own sockets that way.
public enum PacketRules {
  private static let ingressChain = "HOLDFAST-IN"
  private static let egressChain = "HOLDFAST-OUT"

  /// Which of iptables' programs: the host's own choice, or one of the two ways into the kernel.
  package struct Backend: Sendable {
    /// What stands in their names after `iptables`.
    package let infix: String
    package init(infix: String) { self.infix = infix }
    package static let standard = Backend(infix: "")
    package static let nft = Backend(infix: "-nft")
    package static let legacy = Backend(infix: "-legacy")
  }

  private enum Family: CaseIterable {
    case v4
    case v6
    func tool(_ backend: Backend) -> String { (self == .v4 ? "iptables" : "ip6tables") + backend.infix }
    func owns(_ address: IPAddress) -> Bool { address.isIPv6 == (self == .v6) }
  }

  /// Puts exactly these rules in force, whatever an earlier daemon left.
  /// - Throws: `CommandError` with what iptables said.
  public static func apply(_ pairs: [PairRules]) throws { try apply(pairs, with: .standard) }

  package static func apply(_ pairs: [PairRules], with backend: Backend) throws {
    for family in Family.allCases {
      let lines = pairs.map { rules($0, family) }.joined()
      guard !lines.isEmpty else {
        // A former configuration may have had addresses of this family.
        try remove(family, backend)
        continue
      }
      var text = "*mangle\n:\(ingressChain) - [0:0]\n:\(egressChain) - [0:0]\n" + lines
      if !(try isHooked(family, backend, "PREROUTING", ingressChain)) {
        text += "-I PREROUTING -j \(ingressChain)\n"
      }
      if !(try isHooked(family, backend, "POSTROUTING", egressChain)) {
        text += "-A POSTROUTING -j \(egressChain)\n"
      }
      text += "COMMIT\n"
      try Command.run(["\(family.tool(backend))-restore", "--noflush", "--wait"], input: text)
    }
  }

  private static func rules(_ pair: PairRules, _ family: Family) -> String {
    let mark = "0x\(String(pair.mark.value, radix: 16))/0x\(String(pair.mark.mask, radix: 16))"
    func target(_ queue: UInt16) -> String { pair.isMute ? "DROP" : "NFQUEUE --queue-num \(queue)" }
    var text = ""
    for address in pair.addresses where family.owns(address) {
      let ingress = "-A \(ingressChain) -d \(address) -p tcp ! -i lo"
      // The mark of the socket that a packet belongs to; sockets in TIME_WAIT have none.
      let selection = pair.claim ? "" : " -m socket --restore-skmark -m mark --mark \(mark)"
      text += "\(ingress)\(selection) -j \(target(pair.ingressQueue))\n"
    }
    guard !text.isEmpty else { return "" }
    return text + "-A \(egressChain) -p tcp ! -o lo -m mark --mark \(mark) -j \(target(pair.egressQueue))\n"
  }

  private static func isHooked(
    _ family: Family, _ backend: Backend, _ chain: String, _ target: String
  ) throws -> Bool {
    try Command.status([family.tool(backend), "--wait", "-t", "mangle", "-C", chain, "-j", target]) == 0
  }

  /// Takes every trace out of the tables; nothing to do when there is none.
  public static func remove() throws { try remove(with: .standard) }

  package static func remove(with backend: Backend) throws {
    for family in Family.allCases { try remove(family, backend) }
  }

  private static func remove(_ family: Family, _ backend: Backend) throws {
    var text = ""
    for (chain, target) in [("PREROUTING", ingressChain), ("POSTROUTING", egressChain)] {
      if try isHooked(family, backend, chain, target) { text += "-D \(chain) -j \(target)\n" }
    }
    guard !text.isEmpty else { return }
    // Naming the chains empties them, so that they can be deleted.
    text =
      "*mangle\n:\(ingressChain) - [0:0]\n:\(egressChain) - [0:0]\n\(text)-X \(ingressChain)\n-X \(egressChain)\nCOMMIT\n"
    try Command.run(["\(family.tool(backend))-restore", "--noflush", "--wait"], input: text)
  }
}
