import Pairing

extension Verb {
  /// A cluster manager wants the host to be active.
  static let isPromoted = told("promoted") { host, driver in
    driver.hosts[host]?.isPromoted = true
    driver.handle(.promoted, on: host)
  }

  /// It wants it not to be: a standby that is synced goes on, when it is promoted.
  static let isDemoted = told("demoted") { host, driver in
    driver.hosts[host]?.isPromoted = false
    let isSynced = driver.hosts[host]?.machine?.replication == .synced
    driver.handle(isSynced ? .switchover : .demoted, on: host)
  }

  private static func told(_ word: String, _ perform: @escaping @Sendable (String, Driver) -> Void) -> Verb {
    Verb(form: "HOST is \(word)") { words, driver in
      let words = words.map(String.init)
      guard words.count == 3, words[1...] == ["is", word], driver.hosts[words[0]]?.machine != nil, driver.isExternal
      else {
        return false
      }
      driver.note(words[0], "is \(word)")
      perform(words[0], driver)
      return true
    }
  }
}
