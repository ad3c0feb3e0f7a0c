/// The output half of a ledger: bytes that the application sent, from the first that the peer has not acknowledged.
public struct OutputLedger: ~Copyable {
  /// The oldest unacknowledged sequence number: position 0 of `queue`.
  public private(set) var sndUna: SequenceNumber
  /// One past the highest sequence number that was recorded; counts our FIN.
  public private(set) var sndNxt: SequenceNumber
  public private(set) var finSent: Bool
  /// Stream offset one past the last byte recorded. Negative while output from before the registration is still unsent.
  public private(set) var sent: Int64
  /// A packet left without its predecessor having been recorded: this output cannot be restored.
  public private(set) var isBroken = false

  var queue: ByteQueue

  public init(_ image: LedgerImage) {
    sndUna = image.state.sndUna
    sndNxt = image.state.sndNxt
    finSent = image.state.finSent
    sent = image.sent
    isBroken = image.isBroken
    queue = ByteQueue(image.state.sendQueue)
  }

  /// Sequence numbers in flight, a FIN counted.
  public var unacknowledgedCount: Int { sndNxt.distance(from: sndUna) }
  public var isFinAcknowledged: Bool { finSent && sndUna == sndNxt }

  /// One past the last byte: `sndNxt` without the FIN.
  private var end: SequenceNumber { finSent ? sndNxt - 1 : sndNxt }

  /// The stream offset of a sequence number near `sndNxt`.
  public func offset(of sequence: SequenceNumber) -> Int64 { sent + Int64(sequence.distance(from: end)) }

  /// Whether output ahead of `sequence` was never recorded: its packet was dropped on the way here, and will come again.
  @inline(__always)
  public func lacks(before sequence: SequenceNumber) -> Bool { sequence.isAfter(sndNxt) }

  /// A packet that leaves: what it has beyond `sndNxt` is new, the rest is a retransmission.
  public mutating func append(_ payload: UnsafeRawBufferPointer, at sequence: SequenceNumber, fin: Bool) {
    guard payload.count > 0 || fin else { return }
    let known = end.distance(from: sequence)
    guard known >= 0 else {
      isBroken = true
      return
    }
    if !finSent, payload.count > known {
      queue.append(UnsafeRawBufferPointer(rebasing: payload[known...]))
      sndNxt += payload.count - known
      sent += Int64(payload.count - known)
    }
    if fin, !finSent, sequence + payload.count == sndNxt {
      finSent = true
      sndNxt += 1
    }
  }

  /// The peer acknowledged everything below `acknowledgement`.
  /// - Returns: false when it acknowledges what was never sent; the kernel drops such a segment whole.
  public mutating func acknowledge(_ acknowledgement: SequenceNumber) -> Bool {
    guard !acknowledgement.isAfter(sndNxt) else { return false }
    let length = acknowledgement.distance(from: sndUna)
    guard length > 0 else { return true }
    queue.removeFirst(min(length, queue.count))
    sndUna = acknowledgement
    return true
  }
}
