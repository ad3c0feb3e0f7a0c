import Modelling
import TCPModel
import Testing

@Suite struct TimestampClockTests {
  @Test(arguments: [TimestampUnit.milliseconds, .microseconds])
  func aRestoredClockGoesOnByTheTimeThatPassed(_ unit: TimestampUnit) {
    let clock = TimestampClock(value: 1000, moment: 5_000_000_000, unit: unit)
    #expect(clock.restored(at: 5_000_000_000) == 1001)
    let tick = unit.nanosecondsPerTick
    #expect(clock.restored(at: 5_000_000_000 + 70 * tick) == 1071)
    #expect(clock.restored(at: 5_000_000_000 + 70 * tick + tick - 1) == 1071)
  }

  /// What PAWS checks at the peer: the value that goes on is later than every one that left, whatever the clocks say.
  @Test(arguments: [TimestampUnit.milliseconds, .microseconds])
  func itNeverGoesBack(_ unit: TimestampUnit) {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<400 {
      let value = UInt32(truncatingIfNeeded: random.next())
      let moment = random.next() >> 20
      // The standby's clock, which may be anywhere: even before the moment if someone hands in nonsense.
      let now = random.chance(10) ? moment / 2 : moment + UInt64(random.below(1 << 40))
      let clock = TimestampClock(value: value, moment: moment, unit: unit)
      let tick = unit.nanosecondsPerTick
      let elapsed = now > moment ? (now - moment) / tick : 0
      for restored in [clock.restored(at: now), clock.socketOptionValue(at: now)] {
        let ahead = UInt64(restored &- value)
        #expect(ahead >= 1 + elapsed % (1 << 32) || elapsed >= 1 << 31)
        // And no margin that would come back as round-trip time.
        #expect(restored &- value &- UInt32(truncatingIfNeeded: elapsed) <= 2)
      }
    }
  }

  @Test func theOptionsBitZeroIsTheUnitAndNotTime() {
    for value in (0..<100).map({ UInt32.max - 50 &+ UInt32($0) }) + [0, 1] {
      let milliseconds = TimestampClock(value: value, moment: 0, unit: .milliseconds)
      #expect(milliseconds.socketOptionValue(at: 0) & 1 == 0)
      #expect(milliseconds.socketOptionValue(at: 0) &- milliseconds.restored(at: 0) <= 1)
      let microseconds = TimestampClock(value: value, moment: 0, unit: .microseconds)
      #expect(microseconds.socketOptionValue(at: 0) & 1 == 1)
      #expect(microseconds.socketOptionValue(at: 0) &- microseconds.restored(at: 0) <= 1)
    }
  }

  @Test func itGoesThroughTheWrap() {
    let clock = TimestampClock(value: .max - 4, moment: 0, unit: .milliseconds)
    #expect(clock.restored(at: 10_000_000) == 6)
    #expect(clock.socketOptionValue(at: 10_000_000) == 6)
  }

  @Test func onlyLaterValuesAreLearnt() {
    var clock = TimestampClock(value: .max - 4, moment: 100, unit: .milliseconds)
    clock.advance(to: .max - 10, at: 200)
    #expect(clock.value == UInt32.max - 4)
    #expect(clock.moment == 100)
    clock.advance(to: 3, at: 300)
    #expect(clock.value == 3)
    #expect(clock.moment == 300)
    // The same value later: the tick has lasted until now, so counting goes on from here.
    clock.advance(to: 3, at: 400)
    #expect(clock.moment == 400)
  }

  @Test func aConnectionWithoutTimestampsHasNone() {
    let clock = TimestampClock(value: 77, moment: 0, unit: .none)
    #expect(clock.restored(at: 1 << 40) == 0)
    #expect(clock.socketOptionValue(at: 1 << 40) == 0)
  }
}
