public import TCPModel

/// The standby's end of replication: folds what the active host records.
public struct Replica {
  public enum Event: Sendable {
    /// The ledgers are complete: from here on this host could continue every connection in them.
    case synced
    /// The active host stops on purpose.
    case goodbye(Goodbye)
  }

  public private(set) var ledgers = LedgerBook()
  /// All ledgers of the active host are here.
  public private(set) var isComplete = false
  /// The beginning of a baseline whose rest is still to come, and whose it is.
  private var begun: (connection: UInt64, bytes: [UInt8])?
  /// Bytes of a baseline, far beyond what the two queues of a socket can be together.
  private static let baselineLimit = 1 << 33

  public init() {}

  /// Forgets everything: another host is the source from now on.
  public mutating func reset() { self = Replica() }

  /// Hands the ledgers over to who continues the connections.
  public mutating func takeLedgers() -> LedgerBook {
    defer { reset() }
    return ledgers
  }

  /// Folds one frame.
  /// - Parameter now: this host's CLOCK_MONOTONIC, ns.
  public mutating func fold(_ frame: Frame, now: UInt64) throws(ProtocolError) -> Event? {
    guard let type = FrameType(rawValue: frame.type) else { return nil }
    if begun != nil, type != .baseline, type != .baselinePart, type != .syncBegin { throw .malformed(type) }
    switch type {
    case .ingress, .egress:
      guard let record = SegmentRecord.read(frame.body) else { throw .malformed(type) }
      guard let ledger = ledgers[frame.connection] else { return nil }
      if type == .ingress {
        ledger.foldIngress(record.header, record.payload)
      } else {
        ledger.foldEgress(record.header, record.payload, now: now)
      }
    case .consumed:
      guard frame.body.count >= 8 else { throw .malformed(type) }
      ledgers[frame.connection]?.consume(
        upTo: SequenceNumber(UInt32(truncatingIfNeeded: frame.body.bigEndian64(0))))
    case .confirm:
      guard frame.body.count >= 8 else { throw .malformed(type) }
      ledgers[frame.connection]?.confirm(Int64(bitPattern: frame.body.bigEndian64(0)))
    case .checkpoint:
      ledgers[frame.connection]?.checkpoint(try Checkpoint(record: frame.body))
    case .options:
      let options = try SocketOptions(frame.body)
      ledgers[frame.connection]?.options = options
    case .baseline:
      let image = try image(endingWith: frame, now: now)
      guard image.identity.id == frame.connection else { throw .malformed(type) }
      ledgers.insert(Ledger(image))
    case .baselinePart:
      let count = begun?.bytes.count ?? 0
      guard begun.map({ $0.connection == frame.connection }) ?? true, count + frame.body.count <= Self.baselineLimit
      else { throw .malformed(type) }
      begun = begun ?? (frame.connection, [])
      begun?.bytes.append(contentsOf: frame.body)
    case .release:
      ledgers.remove(frame.connection)
    case .syncBegin:
      reset()
    case .syncEnd:
      isComplete = true
      return .synced
    case .goodbye:
      guard let kind = frame.body.first.flatMap(Goodbye.init) else { throw .malformed(type) }
      return .goodbye(kind)
    case .refuse:
      throw .refused(String(decoding: frame.body.prefix(1024), as: UTF8.self))
    case .hello, .acknowledge:
      throw .unexpected(type)
    }
    return nil
  }

  private mutating func image(endingWith frame: Frame, now: UInt64) throws(ProtocolError) -> LedgerImage {
    guard var begun else { return try LedgerImage(baseline: frame.body, now: now) }
    self.begun = nil
    guard begun.connection == frame.connection else { throw .malformed(.baseline) }
    begun.bytes.append(contentsOf: frame.body)
    let image: Result<LedgerImage, ProtocolError> = begun.bytes.withUnsafeBytes { body in
      do throws(ProtocolError) {
        return .success(try LedgerImage(baseline: body, now: now))
      } catch {
        return .failure(error)
      }
    }
    return try image.get()
  }
}

/// Why a host leaves on purpose; the body of a goodbye frame, one byte.
public enum Goodbye: UInt8, Sendable {
  /// The sender goes on without us or ends for good: do not take over.
  case leaving = 1
  /// The sender has stopped; everything that left is in the stream: take over now.
  case handover = 2
}
