import Pairing

extension Verb {
  /// A daemon starts, again or for the first time: a new instance that knows nothing but the epoch on its disk.
  static let starts = ofHost("starts") { start($0, $1, epoch: $1.hosts[$0]?.epoch ?? 0) }

  /// It starts without its disk.
  static let startsAfresh = Verb(form: "HOST starts afresh") { words, driver in
    let words = words.map(String.init)
    guard words.count == 3, words[1...] == ["starts", "afresh"], driver.hosts[words[0]] != nil else { return false }
    driver.note(words[0], "starts afresh")
    start(words[0], driver, epoch: 0)
    return true
  }

  private static func start(_ host: String, _ driver: Driver, epoch: UInt64) {
    driver.begin(host, epoch: epoch) { configuration, instance, now in
      PairMachine(configuration, instance: instance, epoch: epoch, now: now)
    }
  }
}

extension Driver {
  /// A new instance of a host's daemon.
  func begin(_ host: String, epoch: UInt64, _ machine: (PairMachine.Configuration, UInt64, UInt64) -> PairMachine) {
    let instance = (hosts[host]?.starts ?? 0) + 1
    let said = hosts[host]?.said ?? [:]
    // What the daemon before had won it alone knew.
    arbiter.held[host] = nil
    hosts[host] = Host(
      machine: machine(configuration(of: host), instance, now * 1_000_000), epoch: epoch, starts: instance, said: said)
    tick(host, instance: instance)
  }
}
