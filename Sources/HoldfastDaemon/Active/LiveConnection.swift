internal import ControlAPI
internal import LinuxNetwork
internal import SystemCalls
internal import TCPModel

/// A protected connection on the host that owns it: its ledger, and the daemon's own descriptor for the socket.
///
/// The descriptor keeps the connection alive when the application dies, and lets the daemon read what no packet tells: how far
/// the application has read, and its socket options.
final class LiveConnection {
  private(set) var ledger: Ledger
  let socket: SharedDescriptor
  /// Stream position at which the standby holds the baseline; nil while no standby was told.
  var baselinePosition: UInt64?
  /// Whose connection it is; nobody's until a restored one is adopted.
  var owner: PeerCredentials?
  let counters: KernelCounters

  /// By which /proc names the socket.
  let inode: UInt64
  /// Where the application's descriptor was last seen, and when that process started (`SocketHolders`).
  var holder: SocketHolder?
  var holderStart: UInt64?
  /// Looks in a row that found the socket in no process.
  var absences = 0
  /// The client to which an adopted socket was sent, until it is seen there.
  var delivery: ControlClient?
  /// What it is offered to applications for, until it is seen in a process.
  var offer: Offer?

  struct Offer {
    /// When nobody has taken it until then, ns, it ends.
    let deadline: UInt64
    /// `isOrphan` as it was when the offer was made.
    let isOrphan: Bool
  }
  /// Its application is gone from this host, where the socket still lives.
  var isOrphan = false

  var hangup: IOSource?
  /// The socket stands still, about to move to the other host.
  var stopped: StoppedSocket?
  /// Nanoseconds between samples; doubles while the application does not read.
  var sampleInterval = Sampler.shortest
  var isSampling = false
  /// Restored with output that counts as sent: until then, ns, its socket's longest retransmission timeout is short.
  var hasteEnds: UInt64?
  /// No standby could continue it: its ledger was begun anew and was not complete yet when last looked at, or is in doubt.
  var isSettling = false
  /// Why its ledger may not be what its packets said, until ledger and socket have been compared; nil when it is.
  var doubt: String?
  /// Restored: how far it has sent again what its predecessor had sent; nil once it has sent all of it.
  var resending: Resending?
  /// It is not in the table any more: whoever comes across it lets go of it, and its descriptor closes.
  var isGone = false
  /// The application said that it is done; the connection is watched until both sides have closed.
  var isClosing = false
  /// Nobody will read or write it any more: it ends as the kernel would have ended it.
  var isEnding = false

  /// - Parameter state: what the socket has at this moment, which no packet may change meanwhile.
  init(ledger: Ledger, socket: SharedDescriptor, state: ConnectionState, owner: PeerCredentials?)
    throws(SystemCallError)
  {
    self.ledger = ledger
    self.owner = owner
    let info = try TCPInfo(socket.number)
    counters = KernelCounters(
      rcvNxt: state.rcvNxt.rawValue, sndUna: state.sndUna.rawValue, bytesReceived: info.bytesReceived,
      bytesAcknowledged: info.bytesAcknowledged)
    self.socket = socket
    inode = SocketHolders.inode(of: socket.number) ?? 0
  }

  /// Goes on with what the daemon before this one knew.
  /// - Throws: when the socket is not connected any more, or is another's.
  init(resuming image: RestartImage.Connection, _ ledger: Ledger, socket: SharedDescriptor) throws {
    guard try SocketInspection.flow(socket.number).flow == ledger.flow else {
      throw UnsupportedSocket("it is not the socket of the connection \(ledger.flow)")
    }
    self.ledger = ledger
    self.socket = socket
    counters = image.counters
    owner = image.owner
    holder = image.holder
    holderStart = image.holderStart
    isOrphan = image.isOrphan
    isClosing = image.isClosing
    isEnding = image.isEnding
    hasteEnds = image.isHasty == true ? 0 : nil
    inode = SocketHolders.inode(of: socket.number) ?? 0
    isSettling = ledger.gap != nil
    // Both count a FIN.
    let end = image.resendingUntil.map { SequenceNumber($0) } ?? ledger.output.sndNxt
    resending = Resending(sent: try writeSeq() - (try SocketQueues.unsent(socket.number)), end: end)
  }

  var id: UInt64 { ledger.identity.id }

  /// Goes on with a ledger that was begun anew where the socket is.
  func renew(_ ledger: Ledger) {
    self.ledger = ledger
    isSettling = ledger.gap != nil
  }

  /// Its ledger lacks what a packet of the peer would tell.
  var awaitsPeer: Bool { ledger.gap.map { $0.needsIngress || $0.needsEgress } ?? false }

  /// With retention `confirm` the end of the input is input, too: a connection that both sides have ended in order is kept until
  /// the application releases it. That the socket is closed may be known before the acknowledgement of the FIN has come through the
  /// queue, so a FIN that has arrived is enough.
  var keepsEnd: Bool {
    ledger.identity.retention == .confirm && ledger.input.sawFin && !ledger.wasReset && !isClosing && !isEnding
  }

  /// A lower bound of copied_seq: what the application has read for certain.
  ///
  /// The two reads are not one moment, so rcv_nxt is read first: input that arrives in between makes the result too low, never
  /// too high, and a sample that is too low only keeps bytes a little longer.
  func sampleConsumed() throws(SystemCallError) -> SequenceNumber {
    let received = try kernelReceived()
    return received - (try SocketQueues.unread(socket.number))
  }

  /// One past the last byte that the application could have read.
  func kernelReceived() throws(SystemCallError) -> SequenceNumber {
    let info = try TCPInfo(socket.number)
    return counters.received(info, hasFin: hasFin(info)).sequence
  }

  /// The kernel counts a FIN. The state of a closed socket does not tell whether there was one; its ledger does.
  func hasFin(_ info: TCPInfo) -> Bool { info.state == .close ? ledger.input.sawFin : info.state.hasReceivedFin }

  /// The peer has acknowledged what was never recorded: it has passed, and does not come again.
  var hasLostTrack: Bool {
    guard let info = try? TCPInfo(socket.number) else { return false }
    return ledger.output.lacks(before: counters.acknowledged(info).sequence)
  }

  /// snd_nxt, which counts a FIN that was sent, or a little more.
  func kernelSent() throws(SystemCallError) -> SequenceNumber {
    let unsent = try SocketQueues.unsent(socket.number)
    return try writeSeq() - unsent
  }

  /// The stream offset at which the next write appends, while no application writes.
  func writtenOffset() throws(SystemCallError) -> Int64 {
    var written = try kernelWritten()
    // An acknowledgement between the two reads of one look makes it too high; two that agree are right.
    for _ in 0..<8 {
      let again = try kernelWritten()
      if again == written { break }
      written = .earliest(written, again)
    }
    return ledger.output.offset(of: written)
  }

  /// What lies in the socket unread; nil while it changes all the time.
  func peekInput() throws(SystemCallError) -> (start: SequenceNumber, bytes: [UInt8], isEnded: Bool)? {
    for _ in 0..<8 {
      let end = try kernelReceived()
      let bytes = try SocketQueues.peek(socket.number, count: try SocketQueues.unread(socket.number))
      // Neither did anything arrive nor was anything read meanwhile.
      let unread = try SocketQueues.unread(socket.number)
      let info = try TCPInfo(socket.number)
      guard unread == bytes.count, try kernelReceived() == end else { continue }
      return (end - bytes.count, bytes, info.state.hasReceivedFin)
    }
    return nil
  }

  /// One past the last byte that the application has written, or a little more.
  ///
  /// The state is read first, so that a FIN in between makes the result too high, never too low.
  func kernelWritten() throws(SystemCallError) -> SequenceNumber {
    let state = try TCPInfo(socket.number).state
    let hasFin = state == .close ? ledger.output.finSent : state.hasSentFin
    return try writeSeq() - (hasFin ? 1 : 0)
  }

  /// write_seq, which counts a FIN, or a little more: the queue is read before the counter, so that an acknowledgement in between makes
  /// the result too high, never too low.
  private func writeSeq() throws(SystemCallError) -> SequenceNumber {
    let unacknowledged = try SocketQueues.unacknowledged(socket.number)
    let info = try TCPInfo(socket.number)
    return counters.acknowledged(info).sequence + unacknowledged
  }
}
