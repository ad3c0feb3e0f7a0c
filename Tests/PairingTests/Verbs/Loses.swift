import Pairing

extension Verb {
  /// A host's end of the channel gives up, after having heard nothing for N ms.
  static let loses = Verb(form: "HOST loses the channel [after N]") { words, driver in
    let words = Array(words)
    guard words.count == 4 || words.count == 6, words[1] == "loses",
      let silence = words.count == 6 ? UInt64(words[5]) : 0
    else { return false }
    let host = String(words[0])
    guard driver.hosts[host]?.session != nil else { return false }
    driver.note(host, words[1...].joined(separator: " "))
    driver.hosts[host]?.session = nil
    driver.lose(host, silence: silence)
    return true
  }
}
