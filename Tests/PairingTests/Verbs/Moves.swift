import Pairing

extension Verb {
  /// An operator has the pair move to the other host.
  static let moves = ofHost("moves") { host, driver in driver.handle(.switchover, on: host) }
}
