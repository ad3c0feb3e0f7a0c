internal import DaemonSupport

extension Configuration.Node {
  init(_ table: TableReader) throws(ConfigurationError) {
    self.init(name: try table.name("name"))
    if let path = try table.string("control", expected: "the path of the control socket") {
      // sun_path in unix(7) holds 108 bytes with the NUL at its end.
      guard path.hasPrefix("/"), path.utf8.count <= 107 else {
        throw table.error("control", .badValue(expected: "an absolute path of at most 107 bytes", found: "\"\(path)\""))
      }
      control = path
    }
    let modeForm = "permission bits in octal, as in \"0660\""
    if let text = try table.string("control_mode", expected: modeForm) {
      guard let mode = UInt32(text, radix: 8), mode <= 0o777, text.first != "+" else {
        throw table.error("control_mode", .badValue(expected: modeForm, found: "\"\(text)\""))
      }
      controlMode = mode
    }
    if let group = try table.string("control_group", expected: "the name of a group") {
      guard !group.isEmpty else {
        throw table.error("control_group", .badValue(expected: "the name of a group", found: "\"\""))
      }
      controlGroup = group
    }
    hasMarkMask =
      try table.integer("mark_mask", 0...Int(UInt32.max), expected: "a 32-bit mask, as in 0x00f00000") != nil
    if let isOwned = try table.flag("owned_table") { ownedTable = isOwned }
    if let base = try table.integer("queue_base", 0...65_534, expected: "a queue number from 0 to 65534") {
      queueBase = UInt16(base)
    }
    if let timeout = try table.duration("adopt_timeout", 1_000_000...3_600_000_000_000) { adoptTimeout = timeout }
    if let count = try table.integer(
      "connections_per_user", 1...10_000_000, expected: "a number of connections from 1 to 10000000")
    {
      connectionsPerUser = count
    }
  }
}
