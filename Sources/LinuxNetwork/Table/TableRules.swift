/// One pair's part of the packet table: its queues, and whether its packets may pass at all.
public struct TableRules: Hashable, Sendable {
  /// The pair's name as in the configuration: 1 to 64 letters, digits, ".", "_" and "-". Chains and sets are named after it.
  public var pair: String
  /// The number of the queue (NFQUEUE) for packets that arrive.
  public var ingressQueue: UInt16
  /// The number of the queue for packets that leave.
  public var egressQueue: UInt16
  /// What would go to the queues is dropped instead, as when nobody reads them; but a packet that wants to leave does not count as
  /// sent for its socket then (nf_hook_slow returns EPERM to tcp_transmit_skb for a drop, and 0 for a queue that is not read).
  public var isMute = false

  public init(pair: String, ingressQueue: UInt16, egressQueue: UInt16, isMute: Bool = false) {
    self.pair = pair
    self.ingressQueue = ingressQueue
    self.egressQueue = egressQueue
    self.isMute = isMute
  }
}
