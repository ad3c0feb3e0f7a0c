internal import ControlAPI
internal import LinuxNetwork
internal import Replication
internal import SystemCalls
internal import TCPModel

/// What an application says of its own progress. An offset that cannot be right is refused and changes nothing.
extension ActiveSide {
  /// Input up to `offset` is consumed.
  func confirm(_ connection: LiveConnection, upTo offset: Int) throws(ControlError) {
    let ledger = connection.ledger
    guard ledger.identity.retention == .confirm else {
      throw .invalidOffset(
        reason: "the connection was registered with retention read: its input is consumed when it is read")
    }
    let former = ledger.input.reportedOffset
    // After a crash the daemon does not know what was confirmed before.
    guard offset >= former || ledger.gap?.needsConfirmation ?? false else {
      throw .invalidOffset(reason: "consumed \(offset) is behind \(former), which was confirmed before")
    }
    try checkConsumed(offset, of: connection)
    guard offset > former || connection.isSettling else { return }
    feed.source.record(.confirmed(Int64(offset)), in: ledger)
    settle(connection)
    feed.flushSoon()
  }

  /// The application's state. When this returns the record is in the stream, ahead of everything that has not left yet.
  func checkpoint(
    _ connection: LiveConnection, state: [UInt8], consumed: Int?, produced: Int?
  ) throws(ControlError) {
    let ledger = connection.ledger
    guard state.count <= Checkpoint.stateLimit else {
      throw .limitExceeded(limit: "\(Checkpoint.stateLimit) bytes of state in a checkpoint")
    }
    if let consumed {
      let confirmed = ledger.identity.retention == .confirm && ledger.input.retainedFrom == nil
      let former = max(
        confirmed ? ledger.input.reportedOffset : ledger.input.consumed, ledger.checkpoints.lowestConsumed)
      guard consumed >= former || ledger.gap?.losesInput ?? false else {
        throw .invalidOffset(reason: "consumed \(consumed) is behind \(former): input before that is no longer held")
      }
      try checkConsumed(consumed, of: connection)
    }
    if let produced {
      let former = ledger.checkpoints.lowestProduced
      guard produced >= former else {
        throw .invalidOffset(reason: "produced \(produced) is behind \(former) of an earlier checkpoint")
      }
      try checkProduced(produced, of: connection)
    }
    let checkpoint = Checkpoint(state: state, consumed: consumed.map(Int64.init), produced: produced.map(Int64.init))
    let isFirst = ledger.checkpoints.isEmpty
    feed.source.record(.checkpoint(checkpoint), in: ledger)
    if isFirst { table.onChange?(connection) }
    settle(connection)
    feed.flushSoon()
  }

  private func settle(_ connection: LiveConnection) {
    if connection.isSettling { path.settle(connection) }
  }

  /// What the kernel has acknowledged to nobody yet may have been read all the same; what it does not have cannot.
  private func checkConsumed(_ offset: Int, of connection: LiveConnection) throws(ControlError) {
    // A standby closes the channel over an offset that there cannot be.
    guard offset >= 0 else { throw .invalidOffset(reason: "consumed \(offset) is negative") }
    let input = connection.ledger.input.received
    guard offset > input else { return }
    guard let sequence = connection.ledger.input.sequence(at: Int64(offset)),
      let received = try? connection.kernelReceived(), !sequence.isAfter(received)
    else {
      throw .invalidOffset(reason: "consumed \(offset) is beyond the input, of which \(input) bytes are received")
    }
  }

  private func checkProduced(_ offset: Int, of connection: LiveConnection) throws(ControlError) {
    let sent = connection.ledger.output.sent
    guard offset > sent else { return }
    guard let written = try? connection.kernelWritten(), offset <= connection.ledger.output.offset(of: written) else {
      throw .invalidOffset(
        reason: "produced \(offset) is beyond the output, of which \(sent) bytes are sent: write first, then say so")
    }
  }
}
