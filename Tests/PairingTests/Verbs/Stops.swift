import Pairing

extension Verb {
  /// The daemon ends in order: says goodbye, and hands over if its standby holds everything.
  static let stops = ofHost("stops") { host, driver in
    guard let machine = driver.hosts[host]?.machine else { return }
    let peer = driver.other(than: host)
    driver.hosts[host]?.machine = nil
    guard let session = driver.hosts[host]?.session else { return }
    switch machine.role {
    case .active where machine.replication == .synced:
      driver.send(to: peer, in: session) { $0.handle(.handedOver, on: peer) }
    case .standby: driver.send(to: peer, in: session) { $0.handle(.standbyLeft, on: peer) }
    default: break
    }
    driver.closeChannel(of: host)
  }
}
