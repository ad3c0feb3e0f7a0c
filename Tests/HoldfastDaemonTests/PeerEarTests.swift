import Testing

@testable import HoldfastDaemon

/// When the peer may have told the neighbours that the addresses are there.
@Suite struct PeerEarTests {
  private var ear = PeerEar(silence: 200)

  @Test mutating func aPeerThatGivesWay() {
    for now: UInt64 in [0, 50, 100] { #expect(!ear.hears(isActive: true, now: now)) }
    #expect(ear.hears(isActive: false, now: 150))
    #expect(!ear.hears(isActive: false, now: 200))
  }

  /// It may have been active meanwhile, and have given way when it heard this host, before this host heard it.
  @Test mutating func aPeerThatWasNotHeard() {
    #expect(!ear.hears(isActive: false, now: 0))
    #expect(!ear.hears(isActive: false, now: 100))
    #expect(ear.hears(isActive: false, now: 300))
    #expect(!ear.hears(isActive: true, now: 900))
  }
}
