internal import DaemonSupport
internal import LinuxNetwork
internal import TCPModel

/// What no single value shows: that all of them fit together.
extension Configuration {
  /// - Parameter tables: those that the pairs were read from, in order.
  func checkPairs(_ tables: [TableReader]) throws(ConfigurationError) {
    var names: [String: Int] = [:]
    var tags: [UInt64: Int] = [:]
    var addresses: [IPAddress: Int] = [:]
    var listeners: [Endpoint: Int] = [:]
    var paths: [Endpoint: Int] = [:]
    for (index, (pair, table)) in zip(pairs, tables).enumerated() {
      if let other = names.updateValue(index, forKey: pair.name) {
        throw table.error("name", .conflict("\"\(pair.name)\" is the name of pair[\(other)], too"))
      }
      if let other = tags.updateValue(index, forKey: ConnectionNumber.tag(ofPair: pair.name)) {
        throw table.error(
          "name",
          .conflict("the numbers of its connections would be those of pair[\(other)]'s: give one of them another name"))
      }
      for (place, address) in pair.addresses.enumerated() {
        if let other = addresses.updateValue(index, forKey: address.address) {
          throw table.error(
            "addresses[\(place)]", .conflict("\(address.address) is an address of pair[\(other)] already"))
        }
      }
      if let other = listeners.updateValue(index, forKey: pair.replication.local) {
        throw table.error(
          "replication.local", .conflict("pair[\(other)] listens on \(pair.replication.local) already"))
      }
      for (place, path) in pair.heartbeat.paths.enumerated() {
        if let other = paths.updateValue(index, forKey: path.local) {
          throw table.error(
            "heartbeat.paths[\(place)].local", .conflict("\(path.local) belongs to a path of pair[\(other)] already"))
        }
      }
    }
    // Whoever talks from an address that moves talks from nowhere during a takeover.
    for (pair, table) in zip(pairs, tables) {
      let paths = pair.heartbeat.paths.enumerated().flatMap { place, path in
        [("heartbeat.paths[\(place)].local", path.local), ("heartbeat.paths[\(place)].peer", path.peer)]
      }
      let ends = [("replication.local", pair.replication.local), ("replication.peer", pair.replication.peer)] + paths
      let witnesses = [
        ("solo.witnesses", pair.solo.witnesses), ("witnesses", table.has("witnesses") ? pair.witnesses : []),
      ]
      for (key, list) in witnesses {
        for (place, witness) in list.enumerated() where addresses[witness] != nil {
          throw table.error(
            "\(key)[\(place)]", .conflict("\(witness) is a service address: it answers where a host is active"))
        }
      }
      for (key, end) in ends where addresses[end.address] != nil {
        throw table.error(key, .conflict("\(end.address) is a service address and moves between the hosts"))
      }
    }
  }

  /// - Parameter table: the one of the node.
  func checkResources(_ table: TableReader) throws(ConfigurationError) {
    let last = Int(node.queueBase) + 2 * pairs.count - 1
    guard last <= Int(UInt16.max) else {
      throw table.error(
        "queue_base", .conflict("\(pairs.count) pairs take the queues \(node.queueBase) to \(last); 65535 is the last"))
    }
  }
}
