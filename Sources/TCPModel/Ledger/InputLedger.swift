/// The input half of a ledger: bytes from the peer, from the first that the application has not consumed.
///
///     copiedSeq            rcvNxt                 contiguous end
///        [ proven input       )[ candidates              )   [ island )
///
/// Candidates are bytes that reached the host; only an acknowledgement that the host's own kernel sent proves that it took
/// them, and turns them into input. The first good copy of a byte wins.
///
/// Memory is bounded by what the host itself has offered: no byte at or beyond the offered window's end is kept, so an island
/// adds nothing to what the window allows, and one byte at the window's end makes the queue as long as the window and no
/// longer. Where the application has input retained, `Ledger.retentionLimit` bounds how far the window's end gets.
public struct InputLedger: ~Copyable {
  /// The first byte that the application has not consumed: position 0 of `queue`.
  public private(set) var copiedSeq: SequenceNumber
  /// The highest acknowledgement recorded, so never below what the peer was told. Counts a FIN that it covers.
  public private(set) var rcvNxt: SequenceNumber
  public private(set) var finReceived: Bool
  /// Stream offset of `copiedSeq`.
  public private(set) var consumed: Int64
  /// An acknowledgement covered bytes that were never recorded: this input cannot be restored.
  public private(set) var isBroken = false

  var queue: ByteQueue
  /// Positions below this one are filled.
  private(set) var contiguousEnd = 0
  /// Filled positions above `contiguousEnd`, which none of them touches.
  private(set) var islands = Islands()
  /// Where FINs were seen that no acknowledgement covers yet. A genuine peer has one place for it; a forger may claim others.
  private(set) var finCandidates: [SequenceNumber] = []
  /// The peer's FIN has arrived, acknowledged or not yet.
  public var sawFin: Bool { finReceived || !finCandidates.isEmpty }
  /// How far the application is known to have read. May be ahead of `rcvNxt`: what was read before its acknowledgement was
  /// recorded will come again from the peer.
  public private(set) var reportedConsumed: SequenceNumber
  /// `reportedConsumed` as a stream offset.
  public var reportedOffset: Int64 { consumed + Int64(reportedConsumed.distance(from: copiedSeq)) }
  /// Input from this stream offset on is kept, whatever the application has consumed: its checkpoint needs it.
  public private(set) var retainedFrom: Int64?
  /// There is input, proven or not, that the application may have read without it being reported.
  public var mayHaveUnreported: Bool { unreportedCount > 0 }
  /// How much of it there is, bytes.
  public var unreportedCount: Int { contiguousSeq.distance(from: reportedConsumed) }

  public init(_ image: LedgerImage) {
    let state = image.state
    copiedSeq = state.copiedSeq
    rcvNxt = state.rcvNxt
    finReceived = state.finReceived
    consumed = image.consumed
    isBroken = image.isBroken
    queue = ByteQueue(state.receiveQueue)
    contiguousEnd = queue.count
    reportedConsumed = .latest(image.reportedConsumed, state.copiedSeq)
    let limit = state.copiedSeq + Int(Int32.max)
    for candidate in image.candidates {
      let view = candidate.bytes.span
      view.withUnsafeBytes { bytes in
        take(bytes, at: candidate.sequence, fin: candidate.fin, limit: limit)
      }
    }
  }

  /// Bytes of proven input that the application has not consumed.
  public var unconsumedCount: Int { rcvNxt.distance(from: copiedSeq) - (finReceived ? 1 : 0) }
  /// Stream offset one past the last byte that the peer was told is delivered.
  public var received: Int64 { consumed + Int64(unconsumedCount) }
  /// Bytes from `rcvNxt` on that are held without a hole and that no acknowledgement covers.
  public var unproven: [UInt8] { finReceived ? [] : queue.bytes(unconsumedCount..<max(contiguousEnd, unconsumedCount)) }
  /// The sequence number up to which input is held without a hole, proven or not.
  public var contiguousSeq: SequenceNumber { copiedSeq + contiguousEnd }

  /// Takes a segment's bytes as candidates. One that would be an island too many changes nothing: it counts as lost on the
  /// wire, as it is on a host that asks `hasNoIsland` first.
  /// - Parameter limit: bytes at or above it are not kept: the peer was never allowed to send them, and memory is bounded.
  public mutating func take(
    _ payload: UnsafeRawBufferPointer, at sequence: SequenceNumber, fin: Bool, limit: SequenceNumber
  ) {
    if islands.isFull, hasNoIsland(for: payload.count, at: sequence, limit: limit) { return }
    let position = sequence.distance(from: copiedSeq)
    let end = position + payload.count
    let bound = limit.distance(from: copiedSeq)
    if fin, end <= bound, !finReceived { noteFin(sequence + payload.count) }
    let start = max(position, contiguousEnd)
    let last = min(end, bound)
    guard start < last else { return }
    if islands.isEmpty, start == contiguousEnd {
      fill(start..<last, from: payload, at: position)
      contiguousEnd = last
      return
    }
    join(start..<last, from: payload, at: position)
  }

  /// Whether a segment would make one more island than there may be.
  /// - Parameter count: bytes of payload.
  @inline(never)
  func hasNoIsland(for count: Int, at sequence: SequenceNumber, limit: SequenceNumber) -> Bool {
    let position = sequence.distance(from: copiedSeq)
    let end = min(position + count, limit.distance(from: copiedSeq))
    return position > contiguousEnd && position < end && islands.haveNoRoom(for: position..<end)
  }

  /// An acknowledgement left (or is about to): the kernel has accepted everything below it.
  /// - Returns: false when no kernel can have sent it.
  @discardableResult
  public mutating func prove(_ acknowledgement: SequenceNumber) -> Bool {
    guard acknowledgement.isAfter(rcvNxt) else { return true }
    guard (0...Self.largestInput).contains(acknowledgement.distance(from: copiedSeq)) else {
      isBroken = true
      return false
    }
    rcvNxt = acknowledgement
    // The acknowledgement of a FIN is the last one there is: what the kernel went beyond was none.
    if finCandidates.contains(acknowledgement - 1), contiguousEnd < unconsumedCount {
      finReceived = true
      finCandidates = []
    } else if !finCandidates.isEmpty {
      finCandidates.removeAll { $0.isBefore(acknowledgement) }
    }
    // What the application has read already need not be held.
    applyConsumption()
    if unconsumedCount > contiguousEnd { isBroken = true }
    return true
  }

  /// Whether an acknowledgement covers bytes that were never recorded: they can only have come before the connection was
  /// registered, out of order, and are in the socket or have been read from it.
  @inline(__always)
  public func lacks(upTo acknowledgement: SequenceNumber) -> Bool {
    let count = acknowledgement.distance(from: copiedSeq)
    return count > contiguousEnd && !finReceived
      && !(count == contiguousEnd + 1 && finCandidates.contains(contiguousSeq))
  }

  /// The most input that there can be, bytes: the largest window (RFC 7323 section 2.3).
  public static let largestInput = 1 << 30

  /// The application has read (or confirmed) everything below `sequence`; going back has no effect.
  public mutating func consume(upTo sequence: SequenceNumber) {
    reportedConsumed = .latest(reportedConsumed, sequence)
    applyConsumption()
  }

  /// As `consume(upTo:)`, by stream offset; one that cannot be right has no effect.
  public mutating func consume(upToOffset offset: Int64) {
    guard let sequence = sequence(at: offset) else { return }
    consume(upTo: sequence)
  }

  /// Keeps input from `offset` on; nil keeps only what is not consumed.
  public mutating func retain(from offset: Int64?) {
    retainedFrom = offset
    applyConsumption()
  }

  /// The socket begins at `rcvNxt`, and its reader at `copiedSeq`: what the application on the dead host had read beyond that
  /// comes again.
  public mutating func forgetUnprovenConsumption() { reportedConsumed = copiedSeq }

  /// The sequence number of a stream offset; nil when it is behind what is retained or farther ahead than a window can be.
  public func sequence(at offset: Int64) -> SequenceNumber? {
    let (distance, overflow) = offset.subtractingReportingOverflow(consumed)
    guard !overflow, (0...Int64(Int32.max)).contains(distance) else { return nil }
    return copiedSeq + Int(distance)
  }

  private mutating func noteFin(_ sequence: SequenceNumber) {
    guard !sequence.isBefore(rcvNxt), !finCandidates.contains(sequence), finCandidates.count < Self.finLimit else {
      return
    }
    finCandidates.append(sequence)
  }
  private static let finLimit = 8
  /// Most candidates of an image: what is held without a hole, islands, FINs.
  package static let candidateLimit = 1 + Islands.limit + finLimit

  private mutating func applyConsumption() {
    var length = min(reportedConsumed.distance(from: copiedSeq), unconsumedCount)
    if let retainedFrom { length = min(length, Int(retainedFrom &- consumed)) }
    guard length > 0 else { return }
    queue.removeFirst(length)
    copiedSeq += length
    consumed += Int64(length)
    contiguousEnd = max(contiguousEnd - length, 0)
    guard !islands.isEmpty else { return }
    islands.move(by: length)
    // What was read before its gap was recorded: the gap is gone, and so is the island, or it begins here.
    var reached = 0
    while reached < islands.count, islands[reached].lowerBound <= contiguousEnd {
      contiguousEnd = max(contiguousEnd, islands[reached].upperBound)
      reached += 1
    }
    islands.replace(0..<reached, with: nil)
  }

  private mutating func fill(_ range: Range<Int>, from payload: UnsafeRawBufferPointer, at position: Int) {
    queue.write(
      UnsafeRawBufferPointer(rebasing: payload[range.lowerBound - position..<range.upperBound - position]),
      at: range.lowerBound)
  }

  /// Fills what is not filled of `range`, and makes one of it and the islands that it touches.
  private mutating func join(_ range: Range<Int>, from payload: UnsafeRawBufferPointer, at position: Int) {
    let touched = islands.touched(by: range)
    var merged = range
    var next = range.lowerBound
    for index in touched {
      let island = islands[index]
      if next < island.lowerBound { fill(next..<island.lowerBound, from: payload, at: position) }
      next = max(next, island.upperBound)
      merged = min(merged.lowerBound, island.lowerBound)..<max(merged.upperBound, island.upperBound)
    }
    if next < range.upperBound { fill(next..<range.upperBound, from: payload, at: position) }
    let isContiguous = merged.lowerBound <= contiguousEnd
    if isContiguous { contiguousEnd = merged.upperBound }
    islands.replace(touched, with: isContiguous ? nil : merged)
  }
}
