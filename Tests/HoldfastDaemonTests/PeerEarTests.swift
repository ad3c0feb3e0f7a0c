import Testing

@testable import HoldfastDaemon

/// When the peer may have told the neighbours that the addresses are there.
@Suite struct PeerEarTests {
  /// What the ear makes of a peer that is heard at these moments, and is active or not.
  private func hears(_ heard: [(UInt64, Bool)]) -> [Bool] {
    var ear = PeerEar(silence: 200)
    return heard.map { now, isActive in ear.hears(isActive: isActive, now: now) }
  }

  @Test func aPeerThatGivesWay() {
    #expect(hears([(0, true), (50, true), (100, false), (150, false)]) == [false, false, true, false])
  }

  /// It may have been active meanwhile, and have given way when it heard this host, before this host heard it.
  @Test func aPeerThatWasNotHeard() {
    #expect(hears([(0, false), (100, false), (300, false)]) == [false, false, true])
    #expect(hears([(0, false), (900, true), (950, false)]) == [false, false, true])
  }
}
