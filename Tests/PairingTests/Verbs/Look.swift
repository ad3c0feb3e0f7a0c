import Pairing

extension Verb {
  /// Writes down how things stand.
  static let look = Verb(form: "look") { words, driver in
    guard words.elementsEqual(["look"]) else { return false }
    for host in Driver.names {
      guard let machine = driver.hosts[host]?.machine else {
        driver.note(host, "is down")
        continue
      }
      let more =
        switch machine.role {
        case .active: ", \(machine.replication)"
        case .standby: machine.areLedgersCurrent ? ", ledgers current" : ", ledgers not current"
        case .starting, .fenced: ""
        }
      driver.note(host, "is \(machine.role) in epoch \(machine.epoch)\(more)")
    }
    return true
  }
}
