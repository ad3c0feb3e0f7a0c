import Pairing

extension Verb {
  /// The links of the host's service addresses lose their carrier, or its witnesses fall silent. Heartbeats go on.
  static let isCutOff = reach("HOST cannot be reached", isReachable: false)
  static let isReached = reach("HOST can be reached", isReachable: true)

  private static func reach(_ form: String, isReachable: Bool) -> Verb {
    Verb(form: form) { words, driver in
      let words = words.map(String.init)
      guard let host = words.first, driver.hosts[host]?.machine != nil,
        words.dropFirst() == form.split(separator: " ").map(String.init).dropFirst()
      else { return false }
      driver.note(host, words[1...].joined(separator: " "))
      driver.handle(.links(isReachable: isReachable), on: host)
      return true
    }
  }
}
