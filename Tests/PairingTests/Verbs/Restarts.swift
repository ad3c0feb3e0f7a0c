import Pairing

extension Verb {
  /// The daemon ends to start again, and its connections are kept for it.
  static let restarts = ofHost("restarts") { host, driver in
    driver.handle(.restart, on: host)
    driver.noteEnd(of: host, isAwaited: true)
    driver.hosts[host]?.machine = nil
    driver.closeChannel(of: host)
  }

  /// It starts again and goes on with them.
  static let resumesConnections = Verb(form: "HOST starts with its connections") { words, driver in
    let words = words.map(String.init)
    guard words.count == 5, words[1...] == ["starts", "with", "its", "connections"], let host = driver.hosts[words[0]]
    else { return false }
    driver.note(words[0], "starts with its connections")
    driver.begin(words[0], epoch: host.epoch) { configuration, instance, now in
      PairMachine(
        configuration, instance: instance, resuming: host.epoch, behind: host.behind(now: now),
        now: now)
    }
    return true
  }
}
