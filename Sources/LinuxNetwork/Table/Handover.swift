/// How the packet table hands packets to a queue.
public enum Handover: String, Sendable {
  /// The statement `queue` of nf_tables (kernel module nft_queue).
  case queue
  /// The target NFQUEUE of xtables inside an nf_tables rule (nft_compat and xt_NFQUEUE), for kernels without nft_queue.
  case target
}
