import Testing

@testable import HoldfastDaemon

/// When the neighbours hear of the addresses.
@Suite struct AnnouncementScheduleTests {
  private static let second: UInt64 = 1_000_000_000

  /// The moments, ns, at which a loop that is never late announces.
  private func moments(_ schedule: AnnouncementSchedule, count: Int, late: UInt64 = 0) -> [UInt64] {
    var schedule = schedule
    schedule.begin(now: 7)
    var moments: [UInt64] = [0]
    while moments.count < count, let next = schedule.next {
      moments.append(next - 7)
      schedule.advance(now: next + late)
    }
    return moments
  }

  @Test func theyAreToldOftenAndThenNowAndThen() {
    let moments = moments(AnnouncementSchedule(refresh: 60 * Self.second), count: 30)
    #expect(moments.count == 30)
    // Linux ignores an update within a second of the last: after each of the first few there is another one, 1 to 2.5 s later.
    for moment in moments.prefix(5) {
      #expect(moments.contains { $0 >= moment + Self.second && $0 <= moment + 5 * Self.second / 2 })
    }
    // A switch's port may open after 15 s or after 30 s; nobody waits for more than 5 s then.
    for opening in [15 * Self.second, 30 * Self.second] {
      #expect(moments.contains { $0 > opening && $0 <= opening + 5 * Self.second })
    }
    #expect(zip(moments.dropFirst(15), moments.dropFirst(16)).allSatisfy { $1 - $0 == 60 * Self.second })
  }

  @Test func withoutARefreshItEnds() {
    #expect(moments(AnnouncementSchedule(refresh: 0), count: 100).count == AnnouncementSchedule.repeats.count + 1)
    var schedule = AnnouncementSchedule(refresh: Self.second)
    schedule.begin(now: 0)
    schedule.end()
    #expect(schedule.next == nil)
  }

  /// A loop that was busy does not make up for what it has missed.
  @Test func aLateLoopSendsNoBurst() {
    var schedule = AnnouncementSchedule(refresh: 0)
    schedule.begin(now: 0)
    schedule.advance(now: 10 * Self.second)
    #expect(schedule.next == 12 * Self.second)
  }
}
