internal import LinuxNetwork

/// What can be done to the hosts' networks.
extension Topology {
  /// Cuts the replication link, and nothing else.
  public func cutReplication() throws { try alpha.ip("link", "set", "rep0", "down") }

  public func mendReplication() throws { try alpha.ip("link", "set", "rep0", "up") }

  /// Has a host drop what arrives and fits the iptables options, until `accept` takes the same ones back.
  public func drop(on host: HostName, _ options: [String]) throws {
    try rule("-I", on: host, options + ["-j", "DROP"])
  }

  public func accept(on host: HostName, _ options: [String]) throws {
    try rule("-D", on: host, options + ["-j", "DROP"])
  }

  public func drop(on host: HostName, _ options: String...) throws { try drop(on: host, options) }
  public func accept(on host: HostName, _ options: String...) throws { try accept(on: host, options) }

  /// Cuts the two hosts off from each other, on the LAN and on their own link, and from nobody else.
  public func partition() throws {
    try cutReplication()
    try drop(on: .alpha, "-s", Addresses.beta)
    try drop(on: .beta, "-s", Addresses.alpha)
  }

  public func unite() throws {
    try accept(on: .alpha, "-s", Addresses.beta)
    try accept(on: .beta, "-s", Addresses.alpha)
    try mendReplication()
  }

  private func rule(_ action: String, on host: HostName, _ options: [String]) throws {
    try Tool.run("iptables", ["-w", action, "INPUT"] + options, in: self[host])
  }

  /// Has a host's replication connection reset, while the link and the heartbeats stay.
  public func resetReplication(on host: HostName) throws {
    let said = try Tool.run(
      "ss", ["-HtnK", "state", "established", "( sport = :7411 or dport = :7411 )"], in: self[host])
    guard said.contains(":7411") else { throw LabError("\(host) has no replication connection") }
  }

  /// A host that was cut off comes back as it would from a boot: without service addresses and packet rules.
  public func revive(_ host: HostName) throws {
    for address in ["\(Addresses.service4)/24", "\(Addresses.service6)/64"] {
      // It has them only if it was active.
      _ = try? Tool.run("ip", ["-n", self[host].name, "addr", "del", address, "dev", "eth0"])
    }
    // Those of others are there again after a boot.
    try self[host].run { try PacketTable().remove() }
    try self[host].ip(batch: "link set eth0 up\nlink set rep0 up\n")
    // The kernel forgets IPv6 addresses with the link.
    _ = try? Tool.run("ip", ["-n", self[host].name, "addr", "add", "fd77::\(host.digit)/64", "dev", "eth0", "nodad"])
    try wait(for: "the bridge to forward", until: .seconds(10)) {
      try Tool.run("bridge", ["-n", lan.name, "link", "show", "dev", "v-\(host)"]).contains("state forwarding")
    }
  }

  /// The link-layer address of a host on the LAN.
  public func linkAddress(of host: HostName) throws -> String {
    let words = try Tool.run("ip", ["-n", self[host].name, "-o", "link", "show", "dev", "eth0"]).split(separator: " ")
    guard let index = words.firstIndex(of: "link/ether"), index + 1 < words.count else {
      throw LabError("\(host) has no link-layer address")
    }
    return String(words[index + 1])
  }
}
