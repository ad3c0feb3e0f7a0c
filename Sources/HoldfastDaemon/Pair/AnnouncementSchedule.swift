/// When the neighbours are told where the addresses are: often after something has happened, then now and then.
///
/// A Linux neighbour ignores an update within a second of the last one (net.ipv4.neigh.*.locktime), and any of them may be lost. A
/// switch that has just seen the link come up may let nothing pass for 30 s: twice the forward delay of IEEE 802.1D.
struct AnnouncementSchedule {
  /// After the first announcement, ns.
  static let repeats: [UInt64] = [
    20_000_000, 100_000_000, 300_000_000, 600_000_000, 1_050_000_000, 1_500_000_000, 3_000_000_000, 5_000_000_000,
    8_000_000_000, 12_000_000_000, 16_000_000_000, 20_000_000_000, 25_000_000_000, 31_000_000_000,
  ]

  /// Between two announcements when nothing happens, ns; 0 for none.
  let refresh: UInt64
  private var due: ArraySlice<UInt64> = []
  private var begun: UInt64 = 0
  /// When the next announcement is due, CLOCK_MONOTONIC in ns; nil for never.
  private(set) var next: UInt64?

  init(refresh: UInt64) { self.refresh = refresh }

  /// The first announcement is made now.
  mutating func begin(now: UInt64) {
    begun = now
    due = Self.repeats[...]
    advance(now: now)
  }

  /// The announcement that was due is made now.
  mutating func advance(now: UInt64) {
    // A loop that was busy does not make up for those it has missed.
    while let first = due.first, begun + first <= now { due.removeFirst() }
    next = due.first.map { begun + $0 } ?? (refresh == 0 ? nil : now + refresh)
  }

  mutating func end() {
    due = []
    next = nil
  }
}
