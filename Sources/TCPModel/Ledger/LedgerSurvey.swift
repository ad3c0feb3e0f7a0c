/// What a live socket tells of itself without being disturbed, at one moment at which no packet of it passes.
public struct LedgerSurvey: Hashable, Sendable {
  /// Counts a FIN that was sent.
  public var sndNxt: SequenceNumber
  public var finSent: Bool
  /// Stream offset one past the last byte that was sent.
  public var sent: Int64
  /// Counts the peer's FIN.
  public var rcvNxt: SequenceNumber
  public var finReceived: Bool
  /// Stream offset of the first unread byte.
  public var consumed: Int64
  /// What the application has not read, bytes.
  public var unread: [UInt8]
  /// The peer's window, bytes.
  public var sendWindow: UInt32
  public var timestamp: TimestampClock
  public var options: SocketOptions

  public init(
    sndNxt: SequenceNumber, finSent: Bool, sent: Int64, rcvNxt: SequenceNumber, finReceived: Bool, consumed: Int64,
    unread: [UInt8], sendWindow: UInt32, timestamp: TimestampClock, options: SocketOptions
  ) {
    self.sndNxt = sndNxt
    self.finSent = finSent
    self.sent = sent
    self.rcvNxt = rcvNxt
    self.finReceived = finReceived
    self.consumed = consumed
    self.unread = unread
    self.sendWindow = sendWindow
    self.timestamp = timestamp
    self.options = options
  }
}

extension Ledger {
  /// What never changes of a connection (who it is, what was negotiated), with nothing in its queues.
  public var outline: LedgerImage {
    LedgerImage(
      identity: identity,
      state: ConnectionState(
        flow: flow, isMapped: isMapped, negotiated: negotiated, sndUna: output.sndUna, sndNxt: output.sndUna,
        sendQueue: [],
        finSent: false, copiedSeq: input.copiedSeq, rcvNxt: input.copiedSeq, receiveQueue: [], finReceived: false,
        window: window, timestamp: timestamp, options: options),
      consumed: input.consumed, sent: output.sent, peerTimestamp: peerTimestamp, offeredEdge: offeredEdge,
      candidates: [],
      reportedConsumed: input.copiedSeq, wasReset: wasReset, sawUrgent: sawUrgent, isBroken: false)
  }
}

extension Ledger {
  /// Tells a standby that there is this connection, and that no host but the active one could continue it now.
  public var standIn: Ledger {
    var image = outline
    image.isBroken = true
    return Ledger(image)
  }

  /// Compares the ledger with its socket, of which packets may have passed unrecorded. When they said nothing new the ledger is
  /// true as it is, and takes in what only the socket could tell.
  /// - Returns: false when it lacks something; nothing has changed then.
  public func agrees(with survey: LedgerSurvey) -> Bool {
    guard gap == nil, !wasReset, !input.isBroken, !output.isBroken, survey.sndNxt == output.sndNxt,
      survey.finSent == output.finSent, !survey.rcvNxt.isBefore(input.rcvNxt), !input.lacks(upTo: survey.rcvNxt)
    else { return false }
    take(received: survey.rcvNxt)
    return true
  }
}

extension LedgerImage {
  /// A ledger that begins where the socket is, and what it lacks. `self` is the connection's outline (`Ledger.outline`).
  /// - Parameters:
  ///   - wasAdopted: an application may have read from the socket. From one that nobody has adopted yet nobody has read.
  ///   - hadCheckpoint: the application had made checkpoints, which are gone.
  public func begun(
    at survey: LedgerSurvey, wasAdopted: Bool, hadCheckpoint: Bool, cause: LedgerGap.Cause
  ) -> (ledger: LedgerImage, gap: LedgerGap) {
    let gap = LedgerGap(
      output: survey.sndNxt, input: survey.consumed, needsConfirmation: identity.retention == .confirm && wasAdopted,
      needsCheckpoint: hadCheckpoint, cause: cause)
    return (moved(to: survey), gap)
  }

  private func moved(to survey: LedgerSurvey) -> LedgerImage {
    var image = self
    image.sent = survey.sent
    image.consumed = survey.consumed
    image.state.sndUna = survey.sndNxt
    image.state.sndNxt = survey.sndNxt
    image.state.finSent = survey.finSent
    image.state.rcvNxt = survey.rcvNxt
    image.state.finReceived = survey.finReceived
    image.state.receiveQueue = survey.unread
    image.state.copiedSeq = survey.rcvNxt - (survey.unread.count + (survey.finReceived ? 1 : 0))
    image.reportedConsumed = image.state.copiedSeq
    image.state.timestamp = survey.timestamp
    image.state.options = survey.options
    // One before: the first packet of the peer says how large its window is (tcp_may_update_window).
    image.state.window = WindowState(
      sendWindowUpdate: survey.rcvNxt - 1, sendWindow: survey.sendWindow,
      maximumWindow: max(state.window.maximumWindow, survey.sendWindow), receiveWindow: 0,
      receiveWindowUpdate: survey.rcvNxt)
    // The largest window there is: bytes that the peer was allowed to send must not be taken for forged.
    image.offeredEdge = survey.rcvNxt + state.negotiated.largestReceiveWindow
    return image
  }
}
