import Pairing

extension Verb {
  /// The daemon ends where it stands. Its host lives, and closes the channel.
  static let crashes = ofHost("crashes") { host, driver in
    driver.hosts[host]?.machine = nil
    driver.closeChannel(of: host)
  }
}
