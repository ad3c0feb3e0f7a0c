import Pairing

/// What can stand in a scenario; each in a file of its own.
struct Verb: Sendable {
  /// How it is written, for who gets it wrong.
  let form: String
  /// Takes the words behind the time; false when they are not its own.
  let perform: @Sendable (ArraySlice<Substring>, Driver) -> Bool

  static let all = [
    starts, startsAfresh, restarts, resumesConnections, dies, crashes, stops, moves, pauses, resumes, cut, heal, loses,
    hears, look, arbiter, network, isPromoted, isDemoted, isCutOff, isReached,
  ]

  static func perform(_ line: Script.Line, on driver: Driver) throws {
    for verb in all where verb.perform(line.words[...], driver) { return }
    throw Script.Mistake(
      line: line.words.joined(separator: " "), reason: "expected one of:\n" + all.map(\.form).joined(separator: "\n"))
  }

  /// `HOST word`.
  static func ofHost(_ word: String, _ perform: @escaping @Sendable (String, Driver) -> Void) -> Verb {
    Verb(form: "HOST \(word)") { words, driver in
      guard words.count == 2, let host = words.first.map(String.init), driver.hosts[host] != nil,
        words.last == word[...]
      else { return false }
      driver.note(host, word)
      perform(host, driver)
      return true
    }
  }
}
