import Pairing

extension Verb {
  private static func ways(_ words: ArraySlice<Substring>) -> [[String]]? {
    guard words.count == 2 || (words.count == 4 && words[words.startIndex + 2] == "towards") else { return nil }
    let paths = words[words.startIndex + 1] == "all" ? ["link", "lan"] : [String(words[words.startIndex + 1])]
    let receivers = words.count == 4 ? [String(words[words.startIndex + 3])] : Driver.names
    guard paths.allSatisfy({ ["link", "lan"].contains($0) }), receivers.allSatisfy(Driver.names.contains) else {
      return nil
    }
    return paths.flatMap { path in receivers.map { [path, $0] } }
  }

  /// Nothing passes any more; nobody is told.
  static let cut = Verb(form: "cut link|lan|all [towards HOST]") { words, driver in
    guard words.first == "cut", let ways = ways(words) else { return false }
    driver.note("", words.joined(separator: " "))
    driver.cuts.formUnion(ways)
    return true
  }

  static let heal = Verb(form: "heal link|lan|all [towards HOST]") { words, driver in
    guard words.first == "heal", let ways = ways(words) else { return false }
    driver.note("", words.joined(separator: " "))
    driver.cuts.subtract(ways)
    if driver.linkStands { driver.linkHealed() }
    return true
  }
}
