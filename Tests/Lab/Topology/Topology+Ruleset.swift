internal import Glibc

/// What a host's firewall manager, its container engine or its administrator does to packet rules.
extension Topology {
  /// Takes all packet rules of a host out, whoever has made them: what `systemctl reload nftables` begins with. A table that has an
  /// owner stays (NFT_TABLE_F_OWNER, Linux 5.12).
  public func flushRuleset(of host: HostName) throws { try nft("flush ruleset", on: host) }

  /// Runs commands of nft(8), separated by `;`.
  @discardableResult
  public func nft(_ command: String, on host: HostName) throws -> String {
    try Tool.run("nft", ["-f", "-"], input: command + "\n", in: self[host])
  }

  /// Damages the daemon's table.
  /// - Returns: the monotonic clock when the damage was done.
  @discardableResult
  public func damage(_ damage: ListedTable.Damage, on host: HostName) throws -> UInt64 {
    guard let table = try ListedTable(of: self[host]) else {
      throw LabError("\(host) has no table \(ListedTable.name)")
    }
    try nft(table.command(for: damage), on: host)
    return monotonicNow()
  }

  /// Waits until a host's table says what it has said before.
  /// - Returns: the monotonic clock when it was seen to.
  @discardableResult
  public func waitForTable(_ content: [String], on host: HostName, seconds: Double = 20) throws -> UInt64 {
    var last: ListedTable?
    try wait(for: "\(host)'s table, which is \(last?.text ?? "not there")", until: .seconds(seconds), every: 1) {
      last = try ListedTable(of: self[host])
      return last?.content == content
    }
    return monotonicNow()
  }

  /// Appends or inserts rules of other programs: options of iptables(8), for each family.
  public func addRules(_ rules: [[String]], on host: HostName, families: [String] = ["iptables"]) throws {
    for tool in families { for rule in rules { try Tool.run(tool, ["-w"] + rule, in: self[host]) } }
  }

  /// Packets that rules with this comment have counted, in all tables.
  public func packets(countedBy comment: String, on host: HostName) throws -> Int {
    let found = try Tool.run("iptables-save", ["-c"], in: self[host]).split(separator: "\n").compactMap {
      line -> Int? in
      // A line begins with [packets:bytes].
      line.split(separator: " ").contains(Substring(comment)) ? Int(line.dropFirst().prefix { $0.isNumber }) : nil
    }
    guard !found.isEmpty else { throw LabError("\(host) has no rule that is called \(comment)") }
    return found.reduce(0, +)
  }

  /// A counter of the host's connection tracking, over all processors: `insert_failed`.
  public func conntrackCount(_ name: String, on host: HostName) throws -> Int {
    let said = try Tool.run("conntrack", ["-S"], in: self[host])
    return said.split(whereSeparator: \.isWhitespace).reduce(0) { sum, word in
      word.hasPrefix("\(name)=") ? sum + (Int(word.dropFirst(name.count + 1)) ?? 0) : sum
    }
  }

  /// A host's addresses, routes and packet rules, without what belongs to the daemon: its table, and lines with the service's
  /// addresses.
  public func networkState(of host: HostName) throws -> [String] {
    let ip = ["-n", self[host].name]
    let lines = try [
      Tool.run("ip", ip + ["-o", "addr"]), Tool.run("ip", ip + ["route", "show", "table", "all"]),
      Tool.run("ip", ip + ["-6", "route", "show", "table", "all"]), Tool.run("ip", ip + ["rule"]),
      Tool.run("ip", ip + ["-6", "rule"]),
    ].flatMap { $0.split(separator: "\n").map(String.init) }
    let own = lines.filter { !$0.contains(Addresses.service4) && !$0.contains(Addresses.service6) }
    return own.sorted() + Self.tables(of: try Tool.run("nft", ["-s", "list", "ruleset"], in: self[host]))
  }

  /// Each table of a ruleset but the daemon's, as its lines.
  private static func tables(of ruleset: String) -> [String] {
    var isOurs = false
    return ruleset.split(separator: "\n").compactMap { line in
      if line.hasPrefix("table ") { isOurs = line.hasPrefix("table \(ListedTable.name) ") }
      return isOurs ? nil : String(line)
    }
  }
}
