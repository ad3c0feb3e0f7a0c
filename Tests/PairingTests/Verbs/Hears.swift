import Pairing

extension Verb {
  /// A heartbeat comes that was sent before: doubled, late, or from before a restart.
  static let hears = Verb(form: "HOST hears heartbeat N from start N of the peer on link|lan") { words, driver in
    let words = Array(words)
    guard words.count == 12, words[1] == "hears", let number = Int(words[3]), let start = UInt64(words[6]),
      let path = Driver.Path.allCases.first(where: { words[11] == "\($0)" })
    else { return false }
    let host = String(words[0])
    guard let said = driver.hosts[driver.other(than: host)]?.said[start], said.indices.contains(number - 1) else {
      return false
    }
    let heartbeat = said[number - 1]
    driver.note(host, "hears again: \(heartbeat.role) in epoch \(heartbeat.epoch)")
    driver.receive(heartbeat, on: path, by: host)
    return true
  }
}
