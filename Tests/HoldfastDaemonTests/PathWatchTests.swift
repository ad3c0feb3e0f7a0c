import Testing

@testable import HoldfastDaemon

/// What the journal hears of heartbeat paths: neither silence that nobody listened to, nor a flood.
@Suite struct PathWatchTests {
  private var watch = PathWatch(paths: 2, deadAfter: 200_000_000)
  private var now: UInt64 = 0
  private var heard: [UInt64?] = [nil, nil]
  private var changes: [PathWatch.Change] = []

  /// Looks every 50 ms; each time something has come over the given paths.
  private mutating func pass(_ milliseconds: UInt64, hearing paths: [Int]) -> [PathWatch.Change] {
    (0..<milliseconds / 50).flatMap { _ in
      now += 50_000_000
      for path in paths { heard[path] = now }
      return watch.look(lastHeard: heard, observed: 50_000_000)
    }
  }

  @Test mutating func eachChangeIsToldOnce() {
    changes = pass(1000, hearing: [0, 1])
    #expect(changes == [.arrives(path: 0), .arrives(path: 1)])
    changes = pass(5000, hearing: [0])
    #expect(changes == [.silent(path: 1, silence: 1_000_000_000)])
    changes = pass(5000, hearing: [0, 1])
    #expect(changes == [.arrives(path: 1)])
    changes = pass(5000, hearing: [])
    #expect(changes.count == 2)
    changes = pass(5000, hearing: [1])
    #expect(changes == [.arrives(path: 1)])
  }

  /// Longer than `dead_after`, which may be very short: that is the lot of a busy network.
  @Test mutating func aShortSilenceIsNotWorthAWord() {
    _ = pass(1000, hearing: [0, 1])
    for _ in 0..<20 {
      changes = pass(900, hearing: [0])
      #expect(changes.isEmpty)
      changes = pass(50, hearing: [0, 1])
      #expect(changes.isEmpty)
    }
  }

  @Test mutating func silenceLastsAtLeastAsLongAsADeath() {
    watch = PathWatch(paths: 2, deadAfter: 3_000_000_000)
    _ = pass(1000, hearing: [0, 1])
    changes = pass(2950, hearing: [0])
    #expect(changes.isEmpty)
    changes = pass(50, hearing: [0])
    #expect(changes == [.silent(path: 1, silence: 3_000_000_000)])
  }

  /// A path that a firewall has shut from the beginning; but nothing is wrong with one while the other host is not there.
  @Test mutating func aPathThatNeverWorkedIsMissedWhenTheOtherDoes() {
    changes = pass(60_000, hearing: [])
    #expect(changes.isEmpty)
    changes = pass(50, hearing: [0])
    #expect(changes == [.arrives(path: 0), .silent(path: 1, silence: 60_050_000_000)])
    changes = pass(5000, hearing: [0])
    #expect(changes.isEmpty)
  }

  @Test mutating func whileNobodyListenedNobodyWasSilent() {
    _ = pass(1000, hearing: [0, 1])
    now += 60_000_000_000
    changes = watch.look(lastHeard: heard, observed: 100_000_000)
    #expect(changes.isEmpty)
    changes = pass(1000, hearing: [0, 1])
    #expect(changes.isEmpty)
  }
}
