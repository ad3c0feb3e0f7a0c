internal import FoundationEssentials
internal import LinuxNetwork
internal import Pairing
internal import Replication
internal import SystemCalls
internal import TCPModel

/// What a daemon leaves to its next start: everything that it knows of its connections and cannot read from their sockets.
///
/// In memory: the length of the header (8 bytes, big-endian), the header as JSON, of which a later release may know more, and one
/// ledger for each connection, as it would travel to a standby (`LedgerImage.encoded`).
struct RestartImage: Codable {
  /// Raised when a later release could not go on with what this one leaves.
  static let currentVersion = 1

  var version = Self.currentVersion
  /// CLOCK_MONOTONIC, ns.
  var moment: UInt64
  var pairs: [Pair] = []

  /// A pair for which this host was active.
  struct Pair: Codable {
    var name: String
    var epoch: UInt64
    /// The last number that was given to a connection in this epoch.
    var counter: UInt64
    var connections: [Connection]
    /// Nobody was behind this host who could have gone on in its place.
    var wasAlone: Bool?
    /// Until when the standby was asked to wait, CLOCK_MONOTONIC, ns; nil when it was not.
    var standbyWaits: UInt64?

    func behind(now: UInt64) -> PairMachine.Behind {
      wasAlone ?? false ? .nobody : now < standbyWaits ?? 0 ? .patientStandby : .standby
    }
  }

  struct Connection: Codable {
    /// Bytes of the ledger behind the header.
    var ledgerCount = 0
    var counters: KernelCounters
    var owner: PeerCredentials?
    var holder: SocketHolder?
    var holderStart: UInt64?
    var isOrphan: Bool
    var isClosing: Bool
    var isEnding: Bool
    /// It waits for an application.
    var isOffered: Bool
    /// The longest retransmission timeout that its socket has is not the application's.
    var isHasty: Bool?
    /// How far its predecessor on another host had sent; nil when the ledger knows.
    var resendingUntil: UInt32?
    /// What the ledger lacks since a crash.
    var gap: LedgerGap?
    /// Not in the header.
    var ledger: LedgerImage?

    private enum CodingKeys: String, CodingKey {
      case ledgerCount, counters, owner, holder, holderStart, isOrphan, isClosing, isEnding, isOffered, isHasty,
        resendingUntil, gap
    }
  }

  enum Unusable: Error, CustomStringConvertible {
    case truncated
    case header(String)
    case version(Int)
    case ledger(String)

    var description: String {
      switch self {
      case .truncated: "what the daemon before this one left is cut off"
      case .header(let reason): "what the daemon before this one left cannot be read: \(reason)"
      case .version(let version):
        "the daemon before this one left its connections in form \(version), and this release reads \(currentVersion)"
      case .ledger(let reason): "a connection that the daemon before this one left cannot be read: \(reason)"
      }
    }
  }

  var encoded: [UInt8] {
    get throws {
      var header = self
      var ledgers: [UInt8] = []
      for pair in pairs.indices {
        for index in pairs[pair].connections.indices {
          let bytes = pairs[pair].connections[index].ledger?.encoded(now: moment) ?? []
          header.pairs[pair].connections[index].ledgerCount = bytes.count
          ledgers += bytes
        }
      }
      let json = try JSONEncoder().encode(header)
      return withUnsafeBytes(of: UInt64(json.count).bigEndian) { Array($0) } + Array(json) + ledgers
    }
  }

  func pair(_ name: String) -> Pair? { pairs.first { $0.name == name } }

  init(moment: UInt64) { self.moment = moment }

  init(decoding bytes: [UInt8]) throws(Unusable) {
    guard bytes.count >= 8 else { throw .truncated }
    let length = bytes[..<8].reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(bytes.count - 8) else { throw .truncated }
    var offset = 8 + Int(length)
    do {
      self = try JSONDecoder().decode(RestartImage.self, from: Data(bytes[8..<offset]))
    } catch {
      throw .header("\(error)")
    }
    guard version == Self.currentVersion else { throw .version(version) }
    guard pairs.allSatisfy({ Self.canBe(epoch: $0.epoch, counter: $0.counter) }) else {
      throw .header("an epoch or a counter out of range")
    }
    for pair in pairs.indices {
      for index in pairs[pair].connections.indices {
        let count = pairs[pair].connections[index].ledgerCount
        guard count >= 0, count <= bytes.count - offset else { throw .truncated }
        pairs[pair].connections[index].ledger = try Self.ledger(bytes[offset..<offset + count], moment)
        offset += count
      }
    }
  }

  /// Nothing that is added to either overflows.
  static func canBe(epoch: UInt64, counter: UInt64) -> Bool { epoch < Epoch.limit && counter < UInt64.max / 2 }

  private static func ledger(_ bytes: ArraySlice<UInt8>, _ moment: UInt64) throws(Unusable) -> LedgerImage {
    let result = bytes.withUnsafeBytes { bytes in
      Result { () throws(ProtocolError) in try LedgerImage(baseline: bytes, now: moment) }
    }
    do throws(ProtocolError) { return try result.get() } catch { throw .ledger("\(error)") }
  }
}

/// rcv_nxt, snd_una and the kernel's byte counters at one moment: their growth gives the numbers at any later one.
struct KernelCounters: Codable {
  var rcvNxt: UInt32
  var sndUna: UInt32
  var bytesReceived: UInt64
  var bytesAcknowledged: UInt64
}
