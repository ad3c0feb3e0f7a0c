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
    let instance = (driver.hosts[host]?.starts ?? 0) + 1
    let said = driver.hosts[host]?.said ?? [:]
    driver.hosts[host] = Driver.Host(
      machine: PairMachine(
        driver.configuration(of: host), instance: instance, epoch: epoch, now: driver.now * 1_000_000),
      epoch: epoch, starts: instance, said: said)
    driver.tick(host, instance: instance)
  }
}
