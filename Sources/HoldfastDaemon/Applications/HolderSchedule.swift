/// When the daemon looks for applications that hold a connection no more, and so how soon it finds out that none does. Times in ns.
struct HolderSchedule {
  /// Between two parts of a round.
  let interval: UInt64 = 50_000_000
  /// Parts of a round, which looks at each connection's known descriptor once.
  let slices = 6
  /// Between two steps of a search through all processes.
  let step: UInt64 = 5_000_000
  /// Descriptors that a step looks at, at 5 µs each: about a millisecond, in which no packet moves.
  let budget = 250
  /// Searches in a row that do not find a socket before it counts as closed: one can miss a descriptor that a process is just
  /// passing to another.
  let absences = 2

  /// The longest time from a close to its discovery, where all processes together have so many descriptors.
  func longest(descriptors: Int) -> UInt64 {
    // The connection was the first of one round and is the last of the next.
    let round = UInt64(2 * slices - 1) * interval
    // A search that began without it ends first.
    let search = UInt64((descriptors + budget - 1) / budget) * step
    return round + UInt64(absences + 1) * search
  }
}
