internal import FoundationEssentials
internal import LinuxNetwork
internal import Logging
internal import SystemCalls
internal import TCPModel

/// What a daemon that crashed has left with the service manager (`SocketKeep`), made into what one that ended in order leaves.
///
/// The packet table of the dead daemon is in force and nobody reads its queues, so nothing of the connections passes: each ledger is
/// begun where its socket is, and says what it lacks (`LedgerGap`).
struct Remains {
  private let logger: Logger
  private let decoder = JSONDecoder()
  private var tenures: [String: SocketKeep.Tenure] = [:]
  private var sockets: [UInt64: (record: SocketRecord, socket: SharedDescriptor)] = [:]

  init(logger: Logger) { self.logger = logger }

  /// Takes everything off a shelf. What cannot be read ends without a packet.
  mutating func gather(from root: Int32) {
    do {
      try DescriptorShelf.empty(root) { entry in
        var entry = entry
        if let socket = entry.descriptors.take(at: 0) {
          take(SharedDescriptor(socket), entry.note)
        } else if let tenure = try? decoder.decode(SocketKeep.Tenure.self, from: Data(entry.note)),
          tenure.version == RestartImage.currentVersion,
          RestartImage.canBe(epoch: tenure.epoch, counter: tenure.counter)
        {
          take(tenure)
        }
      }
    } catch {
      logger.error("cannot take all connections of the daemon that crashed", metadata: ["error": "\(error)"])
    }
  }

  /// One that is being replaced may be there, too.
  private mutating func take(_ tenure: SocketKeep.Tenure) {
    guard var known = tenures[tenure.pair] else { return tenures[tenure.pair] = tenure }
    known.epoch = max(known.epoch, tenure.epoch)
    known.counter = max(known.counter, tenure.counter)
    known.isAlone = known.isAlone && tenure.isAlone
    tenures[tenure.pair] = known
  }

  /// The later one counts: something may lie there twice.
  private mutating func take(_ socket: SharedDescriptor, _ note: [UInt8]) {
    do {
      let record = try SocketRecord(decoding: note)
      guard let id = record.outline?.identity.id else { return }
      sockets[id] = (record, socket)
    } catch {
      logger.error("cannot go on with a connection of the daemon that crashed", metadata: ["error": "\(error)"])
      try? RestoredSocket.abandonSilently(socket.number)
    }
  }

  /// nil when there is nothing to go on with.
  var kept: RestartStore.Kept? {
    guard !tenures.isEmpty || !sockets.isEmpty else { return nil }
    var image = RestartImage(moment: MonotonicClock.now)
    var kept: [SharedDescriptor] = []
    for tenure in tenures.values {
      var pair = RestartImage.Pair(
        name: tenure.pair, epoch: tenure.epoch, counter: tenure.counter, connections: [],
        wasAlone: tenure.isAlone)
      for (record, socket) in sockets.values where record.pair == tenure.pair {
        guard let connection = connection(record, socket) else { continue }
        pair.connections.append(connection)
        kept.append(socket)
      }
      image.pairs.append(pair)
    }
    // The host had given these up.
    for (record, socket) in sockets.values where tenures[record.pair] == nil {
      try? RestoredSocket.abandonSilently(socket.number)
    }
    return RestartStore.Kept(image: image, sockets: kept)
  }

  private func connection(_ record: SocketRecord, _ socket: SharedDescriptor) -> RestartImage.Connection? {
    do {
      return record.connection(at: try SocketSurvey(socket.number))
    } catch {
      logger.debug("the connection has ended", metadata: ["error": "\(error)"])
      return nil
    }
  }
}
