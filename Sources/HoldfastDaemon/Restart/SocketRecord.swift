internal import FoundationEssentials
internal import LinuxNetwork
internal import Replication
internal import SystemCalls
internal import TCPModel

/// What is kept beside a socket, at all times, for the next daemon if this one crashes: what a live socket does not tell.
///
/// In memory: the length of the header (4 bytes, big-endian), the header as JSON, of which a later release may know more, and the
/// connection's outline as a ledger that would travel to a standby (`Ledger.outline`).
struct SocketRecord: Codable {
  var version = RestartImage.currentVersion
  var pair: String
  var counters: KernelCounters
  /// The stream offset of the input's first byte that `counters` does not count; with `received` and `acknowledged` the offsets
  /// at any later time follow from the kernel's counters.
  var received: Int64
  /// The stream offset of the output's first byte that `counters` does not count as acknowledged.
  var acknowledged: Int64
  var owner: PeerCredentials?
  var isClosing: Bool
  var hasCheckpoint: Bool
  /// Its predecessor on another host had sent up to here.
  var resendingUntil: UInt32?
  /// The longest retransmission timeout that the socket has is not the application's.
  var isHasty: Bool?
  /// Not in the header.
  var outline: LedgerImage?

  private enum CodingKeys: String, CodingKey {
    case version, pair, counters, received, acknowledged, owner, isClosing, hasCheckpoint, resendingUntil,
      isHasty
  }

  /// - Throws: when the socket is not connected any more.
  init(_ connection: LiveConnection, pair: String) throws(SystemCallError) {
    let ledger = connection.ledger
    let counters = connection.counters
    let info = try TCPInfo(connection.socket.number)
    self.pair = pair
    self.counters = counters
    let arrived = counters.received(info, hasFin: connection.hasFin(info))
    received = ledger.input.consumed + Int64(arrived.sequence.distance(from: ledger.input.copiedSeq)) - arrived.count
    let left = counters.acknowledged(info)
    acknowledged = ledger.output.offset(of: left.sequence) - left.count
    owner = connection.owner
    isClosing = connection.isClosing
    hasCheckpoint = !ledger.checkpoints.isEmpty || ledger.gap?.needsCheckpoint ?? false
    resendingUntil = connection.resending?.end.rawValue
    isHasty = connection.hasteEnds != nil
    outline = ledger.outline
  }

  func encoded(by encoder: JSONEncoder) throws -> [UInt8] {
    let header = try encoder.encode(self)
    let outline = outline?.encoded(now: 0) ?? []
    return withUnsafeBytes(of: UInt32(header.count).bigEndian) { Array($0) } + Array(header) + outline
  }

  init(decoding bytes: [UInt8]) throws(RestartImage.Unusable) {
    guard bytes.count >= 4 else { throw .truncated }
    let length = bytes[..<4].reduce(0) { $0 << 8 | Int($1) }
    guard length <= bytes.count - 4 else { throw .truncated }
    do {
      self = try JSONDecoder().decode(SocketRecord.self, from: Data(bytes[4..<4 + length]))
    } catch {
      throw .header("\(error)")
    }
    guard version == RestartImage.currentVersion else { throw .version(version) }
    let result = bytes[(4 + length)...].withUnsafeBytes { bytes in
      Result { () throws(ProtocolError) in try LedgerImage(baseline: bytes, now: 0) }
    }
    do throws(ProtocolError) { outline = try result.get() } catch { throw .ledger("\(error)") }
  }
}

extension KernelCounters {
  /// One past the last byte that has arrived, and how many have since.
  func received(_ info: TCPInfo, hasFin: Bool) -> (sequence: SequenceNumber, count: Int64) {
    let count = Int64(bitPattern: info.bytesReceived &- bytesReceived) - (hasFin ? 1 : 0)
    return (SequenceNumber(rcvNxt) + Int(count), count)
  }

  /// snd_una, and how much it has grown; a FIN counts.
  func acknowledged(_ info: TCPInfo) -> (sequence: SequenceNumber, count: Int64) {
    let count = Int64(bitPattern: info.bytesAcknowledged &- bytesAcknowledged)
    return (SequenceNumber(sndUna) + Int(count), count)
  }
}

extension SocketRecord {
  /// What the socket tells, as a ledger counts.
  func survey(_ survey: SocketSurvey) -> LedgerSurvey {
    let info = survey.info
    let arrived = counters.received(info, hasFin: info.state.hasReceivedFin)
    let left = counters.acknowledged(info)
    let inFlight = survey.unacknowledged - survey.unsent
    // The FIN comes last: where anything waits, it waits too.
    let finSent = info.state.hasSentFin && survey.unsent == 0
    var options = survey.options
    if isHasty == true, let outline {
      options.values[.maximumTimeout] = outline.state.options.values[.maximumTimeout]
    }
    let consumed = received + arrived.count - Int64(survey.unread.count)
    return LedgerSurvey(
      sndNxt: left.sequence + inFlight, finSent: finSent,
      sent: acknowledged + left.count + Int64(inFlight) - (finSent ? 1 : 0),
      rcvNxt: arrived.sequence + (info.state.hasReceivedFin ? 1 : 0), finReceived: info.state.hasReceivedFin,
      consumed: consumed, unread: survey.unread, sendWindow: info.sendWindow, timestamp: survey.timestamp,
      options: options)
  }

  /// Begins the connection's ledger anew where its socket is.
  /// - Returns: the ledger and what it lacks; nil when the record is of another socket.
  func begun(at socket: SocketSurvey, cause: LedgerGap.Cause) -> (ledger: LedgerImage, gap: LedgerGap)? {
    guard let outline, outline.state.flow == socket.flow else { return nil }
    return outline.begun(at: survey(socket), wasAdopted: owner != nil, hadCheckpoint: hasCheckpoint, cause: cause)
  }

  /// What a daemon that follows one that crashed goes on with.
  /// - Returns: nil when the record is of another socket.
  func connection(at socket: SocketSurvey) -> RestartImage.Connection? {
    guard let (ledger, gap) = begun(at: socket, cause: .daemonCrash) else { return nil }
    return RestartImage.Connection(
      counters: counters, owner: owner, isOrphan: false, isClosing: isClosing, isEnding: false, isOffered: owner == nil,
      isHasty: isHasty, resendingUntil: resendingUntil, gap: gap, ledger: ledger)
  }
}
