/// Which events of one turn of the loop go first; lower numbers do.
enum LoopPriority {
  /// Being late here looks like death.
  static let heartbeat = -30
  /// Acknowledgements free packets before new ones are taken in.
  static let replication = -20
  static let packets = -10
  /// The same: of equals, the loop takes the one that has waited longest. Behind packets, which on a host that is busy never end,
  /// nothing would be registered any more, and nobody could ask why.
  static let control = packets
  static let background = 10
}
