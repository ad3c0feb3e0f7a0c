/// Which events of one turn of the loop go first; lower numbers do.
enum LoopPriority {
  /// Being late here looks like death.
  static let heartbeat = -30
  /// Acknowledgements free packets before new ones are taken in.
  static let replication = -20
  static let packets = -10
  static let control = 0
  static let background = 10
}
