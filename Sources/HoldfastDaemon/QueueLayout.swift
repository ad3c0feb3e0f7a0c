internal import LinuxNetwork

/// Which queues and which mark a pair uses: two queue numbers from the configured base on, and its number in the mark's bits.
struct QueueLayout {
  let mark: PacketMark
  let ingress: UInt16
  let egress: UInt16

  /// - Parameter pair: the pair's place in the configuration.
  init(pair index: Int, configuration: Configuration) {
    let mask = configuration.node.markMask
    let shift = UInt32(mask.trailingZeroBitCount)
    mark = PacketMark(value: UInt32(truncatingIfNeeded: index + 1) << shift, mask: mask)
    ingress = configuration.node.queueBase &+ UInt16(truncatingIfNeeded: 2 * index)
    egress = ingress &+ 1
  }
}

extension PairRules {
  /// The rules of a pair.
  init(_ pair: Configuration.Pair, _ layout: QueueLayout, claim: Bool) {
    self.init(
      addresses: pair.addresses.map(\.address), mark: layout.mark, ingressQueue: layout.ingress,
      egressQueue: layout.egress, claim: claim)
  }
}
