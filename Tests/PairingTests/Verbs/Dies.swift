import Pairing

extension Verb {
  /// The host is gone, and no packet says so.
  static let dies = ofHost("dies") { host, driver in
    driver.hosts[host]?.machine = nil
    driver.hosts[host]?.session = nil
  }
}
