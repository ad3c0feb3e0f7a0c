/// The table of packet rules that is the daemon's own: `PacketTable` in the interface description.
public struct PacketTableStatus: Codable, Hashable, Sendable {
  /// Why it is not in force: no connection is protected meanwhile; nil when it is.
  public var problem: String?
  /// How packets come to the daemon: `queue` (nft_queue) or `target` (the xtables target NFQUEUE through nft_compat); nil before
  /// the table was written.
  public var handover: String?
  /// Whether the kernel keeps other programs from changing it (Linux 6.9).
  public var owned: Bool

  public init(problem: String?, handover: String?, owned: Bool) {
    self.problem = problem
    self.handover = handover
    self.owned = owned
  }
}
