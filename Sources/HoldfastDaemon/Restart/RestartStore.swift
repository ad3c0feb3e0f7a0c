internal import DaemonSupport
internal import LinuxNetwork
internal import Logging
internal import SystemCalls
internal import TCPModel

/// What the service manager keeps from one start of the daemon to the next.
///
/// Of a daemon that ended in order: the table in a memory file, and the sockets in a parcel. Two entries of its store, however many
/// connections there are: the manager compares each entry with all others. Of one that crashed: its shelf (`SocketKeep`).
enum RestartStore {
  private static let table = "holdfast-table"
  private static let sockets = "holdfast-sockets"

  /// What was kept: the sockets are those of the image's connections, in order.
  struct Kept {
    var image: RestartImage
    var sockets: [SharedDescriptor]
    /// The names of shelves that are empty now.
    var shelves: [String] = []
  }

  /// - Parameter sockets: of the image's connections, in order.
  static func put(_ image: RestartImage, sockets numbers: [Int32]) throws {
    let table = try MemoryFile.make(Self.table, holding: image.encoded)
    let parcel = try DescriptorParcel.pack(numbers)
    try ServiceManager.store(table.number, name: Self.table)
    try ServiceManager.store(parcel.number, name: Self.sockets)
    ServiceManager.awaitReading()
  }

  /// The next start is not to find it again.
  static func clear(_ kept: Kept?) {
    ServiceManager.forget(table)
    ServiceManager.forget(sockets)
    for shelf in kept?.shelves ?? [] { ServiceManager.forget(shelf) }
  }

  /// What the daemon before this one has left; nil when it has left nothing that can be used. Its sockets then end without a packet:
  /// the standby goes on with what it holds.
  static func take(logger: Logger) -> Kept? {
    var file: SharedDescriptor?
    var received = ReceivedDescriptors()
    var shelves: [(name: String, root: SharedDescriptor)] = []
    for (name, number) in ServiceManager.takeStored() {
      let descriptor = SharedDescriptor(Descriptor(owning: number))
      switch name {
      case table: file = descriptor
      case sockets:
        do {
          received = try DescriptorParcel.unpack(number)
        } catch {
          logger.error("cannot take the connections of the daemon before this one", metadata: ["error": "\(error)"])
        }
      case _ where name.hasPrefix(SocketKeep.prefix): shelves.append((name, descriptor))
      default: break
      }
    }
    var kept: [SharedDescriptor] = []
    for index in 0..<received.count {
      if let socket = received.take(at: index) { kept.append(SharedDescriptor(socket)) }
    }
    var result: Kept?
    if let file {
      result = whole(file, kept, logger)
    } else if !shelves.isEmpty {
      var remains = Remains(logger: logger)
      for shelf in shelves { remains.gather(from: shelf.root.number) }
      result = remains.kept
    }
    result?.shelves = shelves.map(\.name)
    return result
  }

  /// Of a daemon that ended in order.
  private static func whole(_ file: SharedDescriptor, _ sockets: [SharedDescriptor], _ logger: Logger) -> Kept? {
    do {
      let image = try RestartImage(decoding: try MemoryFile.contents(of: file.number))
      let expected = image.pairs.reduce(0) { $0 + $1.connections.count }
      guard sockets.count == expected else { throw RestartImage.Unusable.truncated }
      return Kept(image: image, sockets: sockets)
    } catch {
      logger.error("cannot go on with the connections of the daemon before this one", metadata: ["error": "\(error)"])
      for socket in sockets { try? RestoredSocket.abandonSilently(socket.number) }
      return nil
    }
  }
}

extension RestartStore.Kept {
  /// Gives each pair what was its own.
  /// - Returns: what belongs to none any more, to be ended when the packet table is in force.
  func distribute(to pairs: [Pair]) -> [Orphans] {
    var rest = sockets[...]
    var orphans: [Orphans] = []
    for image in image.pairs {
      let mine = rest.prefix(image.connections.count)
      rest = rest.dropFirst(mine.count)
      guard let pair = pairs.first(where: { $0.name == image.name }) else {
        orphans.append(Orphans(Array(mine), of: image, isPairGone: true))
        continue
      }
      // An address may have been taken from a pair that stays.
      var served = image
      var (servedSockets, others): ([SharedDescriptor], [SharedDescriptor]) = ([], [])
      served.connections = zip(image.connections, mine).compactMap { connection, socket in
        let isServed = connection.ledger.map { pair.serves($0.state.flow.local.address) } ?? true
        if isServed { servedSockets.append(socket) } else { others.append(socket) }
        return isServed ? connection : nil
      }
      if !others.isEmpty { orphans.append(Orphans(others, of: image, isPairGone: false)) }
      pair.resume(served, sockets: servedSockets)
    }
    return orphans
  }
}
