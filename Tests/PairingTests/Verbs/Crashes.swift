import Pairing

extension Verb {
  /// The daemon ends where it stands. Its host lives, and closes the channel.
  static let crashes = ofHost("crashes") { host, driver in
    driver.noteEnd(of: host)
    driver.hosts[host]?.machine = nil
    driver.closeChannel(of: host)
  }
}

extension Driver {
  /// What is kept for the next daemon besides the sockets.
  /// - Parameter isAwaited: the standby was asked to wait.
  func noteEnd(of host: String, isAwaited: Bool = false) {
    guard let machine = hosts[host]?.machine else { return }
    hosts[host]?.wasAlone = machine.isAlone
    hosts[host]?.standbyWaits = isAwaited ? now * 1_000_000 + machine.configuration.restartPatience / 10 * 9 : 0
  }
}
