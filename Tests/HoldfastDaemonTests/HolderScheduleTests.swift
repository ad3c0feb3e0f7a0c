import Testing

@testable import HoldfastDaemon

/// A plain close must not leave the peer hanging. (What it takes on a real host, `holdfast-lab bench --only applications` measures.)
@Suite struct HolderScheduleTests {
  private let schedule = HolderSchedule()

  @Test func aPlainCloseIsFoundOutWithinASecond() {
    for descriptors in [0, 1, 250, 251, 7500] {
      #expect(schedule.longest(descriptors: descriptors) <= 1_000_000_000, "\(descriptors)")
    }
    // Two whole rounds at the least, less the first part; and each further thousand of descriptors costs what is documented.
    #expect(schedule.longest(descriptors: 0) >= schedule.interval * UInt64(schedule.slices))
    #expect(schedule.longest(descriptors: 101_000) - schedule.longest(descriptors: 100_000) == 60_000_000)
  }

  /// The model says what a walk through the schedule, at its worst, comes to.
  @Test(arguments: [(1, 100), (5, 700), (6, 5000), (100, 7500), (1000, 7500)])
  func theLongestTimeIsThatOfTheWorstWalk(_ connections: Int, _ descriptors: Int) {
    let share = (connections + schedule.slices - 1) / schedule.slices
    let steps = (descriptors + schedule.budget - 1) / schedule.budget
    var worst: UInt64 = 0
    for place in 0..<connections {
      for other in [0, place, connections - 1] {
        // Closed right after it was looked at, at `place` of one round; then its turn comes at `other` of the next.
        let closed = place / share
        let parts = (connections + share - 1) / share
        let missed = parts + other / share - closed
        let found = UInt64(missed) * schedule.interval + UInt64((schedule.absences + 1) * steps) * schedule.step
        worst = max(worst, found)
      }
    }
    #expect(worst <= schedule.longest(descriptors: descriptors))
  }
}
