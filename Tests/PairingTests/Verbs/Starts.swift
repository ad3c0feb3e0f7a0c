import Pairing

extension Verb {
  /// A daemon starts, again or for the first time: a new instance that knows nothing.
  static let starts = ofHost("starts") { host, driver in
    let instance = (driver.hosts[host]?.starts ?? 0) + 1
    let said = driver.hosts[host]?.said ?? [:]
    driver.hosts[host] = Driver.Host(
      machine: PairMachine(driver.configuration(of: host), instance: instance, now: driver.now * 1_000_000),
      starts: instance, said: said)
    driver.tick(host, instance: instance)
  }
}
