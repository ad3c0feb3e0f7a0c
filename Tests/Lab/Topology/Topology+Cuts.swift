extension Topology {
  /// A direction of a host's link to the LAN.
  public enum LANDirection: Sendable {
    case towards
    case from
  }

  /// Has the LAN lose everything towards a host, from it, or both, while its interface stays up.
  /// - Returns: what mends it.
  public func cutLAN(of host: HostName, _ directions: [LANDirection]) throws -> @Sendable () throws -> Void {
    let places = directions.map { direction in
      switch direction {
      case .towards: [lan.name, "dev", "v-\(host)"]
      case .from: [self[host].name, "dev", "eth0"]
      }
    }
    // Room for one byte: no frame ever fits.
    let blackHole = ["root", "tbf", "rate", "8bit", "burst", "1", "limit", "1"]
    for place in places { try Tool.run("tc", ["-n", place[0], "qdisc", "replace"] + place[1...] + blackHole) }
    return { for place in places { try Tool.run("tc", ["-n", place[0], "qdisc", "del"] + place[1...] + ["root"]) } }
  }
}
