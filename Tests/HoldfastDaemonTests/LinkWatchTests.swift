import TCPModel
import Testing

@testable import HoldfastDaemon

/// When witnesses count as silent, and what the journal hears of links.
@Suite struct LinkWatchTests {
  private static let near = IPAddress(v4: 0x0a4d_00fe)
  private static let far = IPAddress(v4: 0x0a4d_00fd)
  private var silence = WitnessSilence([near, far], limit: 1_000_000_000)

  /// Looks every 50 ms, and expects to find all of them silent in the end, or not.
  private mutating func pass(
    _ milliseconds: UInt64, answered: Set<IPAddress> = [], isSilent expected: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    var isSilent = false
    for _ in 0..<milliseconds / 50 { isSilent = silence.look(answered: answered, observed: 50_000_000) }
    #expect(isSilent == expected, sourceLocation: sourceLocation)
  }

  /// Its address may be wrong; it may be switched off.
  @Test mutating func whoHasNeverAnsweredTellsNothing() {
    pass(60_000)
    pass(50, answered: [Self.near])
    pass(950)
    pass(50, isSilent: true)
  }

  @Test mutating func oneOfThemIsEnough() {
    pass(500, answered: [Self.near, Self.far])
    pass(60_000, answered: [Self.far])
    pass(1000, isSilent: true)
    pass(50, answered: [Self.near])
  }

  /// Questions that are lost say nothing, again and again.
  @Test mutating func aLostQuestionIsNotSilence() {
    for _ in 0..<20 {
      pass(50, answered: [Self.near])
      pass(900)
    }
  }

  /// While nobody ran nobody listened: a late look counts for what was observed.
  @Test mutating func onlyWhatWasObservedCounts() {
    pass(50, answered: [Self.near])
    let looks = (0..<10).map { _ in silence.look(answered: [], observed: 100_000_000) }
    #expect(looks == [Bool](repeating: false, count: 9) + [true])
  }

  @Test func aLinkThatFlapsDoesNotFillTheJournal() {
    var journal = ChangeJournal(true)
    var entries: [Bool] = []
    for tick in 0..<200 as Range<UInt64> {
      let isUp = tick % 2 == 1
      if journal.admit(isUp, now: 1_000_000_000 + tick * 50_000_000) { entries.append(isUp) }
    }
    #expect(entries.count <= 6 && entries.first == false)
    // How it is in the end is told.
    let isTold = journal.admit(true, now: 60_000_000_000)
    #expect(isTold != (entries.last == true) && journal.told)
    let isToldAgain = journal.admit(true, now: 90_000_000_000)
    #expect(!isToldAgain)
  }
}
