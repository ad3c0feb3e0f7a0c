import Pairing
import Replication
import Modelling
import TCPModel

/// One connection as the world knows it: the client's socket, and what every host ever put on the wire for it.
///
/// Streams are functions of the position: nobody keeps bytes to compare them. Positions count from the origins; sequence numbers
/// are made where a header is.
final class Connection {
  let number: UInt64
  let hostOrigin: SequenceNumber
  let clientOrigin: SequenceNumber
  let flow: Flow
  static let window = 1200

  // The client.
  var una = 0
  var nxt = 0
  var rcvNxt = 0
  var latestStamp: UInt32?
  /// It was reset, or the hosts forgot it.
  var isOver = false

  // What left the hosts.
  var sentEnd = 0
  var toldEnd = 0
  var stamp: UInt32
  /// Who took over last, and what it held then; nothing else may come from anyone before it.
  var successor: (host: Int, sent: Int, told: Int, stamp: UInt32)?
  /// Who serves it, nil when it has been let go of, and who did before that one took over.
  var owner: Node?
  weak var former: Node?
  /// That host has no socket for it yet, and no standby has been told.
  var isRestoring = false
  /// It has: the standby knows the connection when it has acknowledged the stream to here. Until then no host calls it protected.
  var baselinePosition: UInt64?
  /// The instance of the daemon that began its ledger anew after a crash; no standby of that one need know the connection. nil when
  /// a packet has left since that says more than the gap allows.
  var lacksSince: UInt64?
  /// The most that a host had on its way to the client while a gap was open, left or not.
  var made: (sent: Int, told: Int, stamp: UInt32)

  init(number: UInt64, owner: Node, _ random: inout SeededGenerator) {
    self.number = number
    self.owner = owner
    hostOrigin = SequenceNumber(random.chance(30) ? .max - 500 : UInt32(truncatingIfNeeded: random.next()))
    clientOrigin = SequenceNumber(random.chance(30) ? .max - 500 : UInt32(truncatingIfNeeded: random.next()))
    stamp = random.chance(30) ? .max - 2000 : UInt32(truncatingIfNeeded: random.next())
    made = (0, 0, stamp)
    flow = Flow(
      local: Endpoint(address: IPAddress(v4: 0x0a4d_0064), port: 80),
      peer: Endpoint(address: IPAddress(v4: 0x0a4d_0002), port: UInt16(truncatingIfNeeded: 1024 + number)))
  }

  /// A host's kernel has made a packet in a gap.
  func make(_ packet: Packet) {
    made.sent = max(made.sent, packet.end)
    made.told = max(made.told, packet.told)
    let stamp = packet.header.timestampValue
    if Int32(bitPattern: stamp &- made.stamp) > 0 { made.stamp = stamp }
  }

  func byte(_ position: Int, toClient: Bool) -> UInt8 {
    UInt8(truncatingIfNeeded: position &* 167 &+ position >> 8 &+ Int(number) &* 31 &+ (toClient ? 7 : 0))
  }

  func bytes(_ range: Range<Int>, toClient: Bool) -> [UInt8] { range.map { byte($0, toClient: toClient) } }

  func fits(_ bytes: [UInt8], at position: Int, toClient: Bool) -> Bool {
    for index in bytes.indices where bytes[index] != byte(position + index, toClient: toClient) { return false }
    return true
  }

  /// The repair state of the socket at its registration, on a host whose clock shows `now`.
  func baseline(now: UInt64) -> LedgerImage {
    LedgerImage(
      registering: ConnectionState(
        flow: flow, isMapped: false,
        negotiated: NegotiatedOptions(
          // Some have segments so small that what is in flight is many of them, and their peers are asked.
          maximumSegmentSize: number.isMultiple(of: 2) ? 20 : 1460, sendWindowScale: 0, receiveWindowScale: 0,
          windowScaling: false,
          selectiveAcknowledgements: false, timestampUnit: .milliseconds),
        sndUna: hostOrigin, sndNxt: hostOrigin, sendQueue: [], finSent: false, copiedSeq: clientOrigin,
        rcvNxt: clientOrigin, receiveQueue: [], finReceived: false,
        window: WindowState(
          sendWindowUpdate: clientOrigin - 1, sendWindow: UInt32(Self.window), maximumWindow: UInt32(Self.window),
          receiveWindow: UInt32(Self.window), receiveWindowUpdate: clientOrigin),
        timestamp: TimestampClock(value: stamp, moment: now, unit: .milliseconds), options: SocketOptions()),
      as: ConnectionIdentity(id: number, service: "model", key: nil, retention: .read), unsent: 0)
  }
}

/// A packet between a host and the client.
struct Packet {
  var connection: Connection
  var header: SegmentHeader
  var payload: [UInt8]
  var isReset = false
  /// It was made in the connection's gap: the standby does not know of it.
  var isUnprotected = false

  /// One past its last byte, and its acknowledgement, as positions.
  var end: Int { header.sequence.distance(from: connection.hostOrigin) + payload.count }
  var told: Int { header.acknowledgement.distance(from: connection.clientOrigin) }
}

/// The host's kernel for one connection, and the application on it, whose output is a function of the offset.
struct HostSocket {
  var una: Int
  var nxt: Int
  var rcvNxt: Int
  var read: Int
  /// Read and not yet recorded.
  var isReadUnrecorded = false
  var offeredEdge: Int
  var clientWindow = Connection.window
  /// TSval at a moment of the host's clock.
  var clock: TimestampClock
}
