internal import DaemonSupport

/// The number of a connection, by which applications and both hosts call it: 16 bits of the epoch in which it was registered, 12 that
/// stand for its pair, 36 that count. Two hosts that are each active for one pair count from the same epochs, so the pair must be in
/// it: a number means one connection on a host, whichever pair it belongs to.
package enum ConnectionNumber {
  package static func make(epoch: UInt64, pair: UInt64, count: UInt64) -> UInt64 {
    (epoch & 0xffff) << 48 | (pair & 0xfff) << 36 | count & 0xf_ffff_ffff
  }

  /// What stands for a pair, from its name alone: the same on both hosts. The configuration is refused when two pairs have the same.
  /// FNV-1a, folded to 12 bits.
  package static func tag(ofPair name: String) -> UInt64 {
    let hash = FNV1a.hash(name.utf8)
    return (hash ^ hash >> 12 ^ hash >> 24 ^ hash >> 36 ^ hash >> 48) & 0xfff
  }
}
