public import TCPModel

/// The standby's end of replication: folds what the active host records.
public struct Replica {
  public enum Event: Hashable, Sendable {
    /// A record was folded.
    /// - Parameter isAwaited: the active host may hold a packet, or an application's answer, until it is acknowledged.
    case recorded(isAwaited: Bool)
    /// There is a ledger of this flow: a new one, or another in the place of the former.
    case known(Flow)
    /// Its ledger is gone.
    case forgotten(Flow)
    /// All ledgers are gone, and new ones follow. The flows are those of the ledgers that there were.
    case began(former: [Flow])
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
  /// - Returns: what came of it; nil for a frame that changes nothing by itself.
  public mutating func fold(_ frame: Frame, now: UInt64) throws(ProtocolError) -> Event? {
    guard let type = FrameType(rawValue: frame.type) else { return nil }
    if begun != nil, type != .baseline, type != .baselinePart, type != .syncBegin { throw .malformed(type) }
    if let record = try Record(frame, of: type, now: now) {
      ledgers[frame.connection]?.apply(record)
      return .recorded(isAwaited: record.isAwaited)
    }
    return try take(frame, of: type, now: now)
  }

  private mutating func take(_ frame: Frame, of type: FrameType, now: UInt64) throws(ProtocolError) -> Event? {
    switch type {
    case .baseline:
      let image = try image(endingWith: frame, now: now)
      guard image.identity.id == frame.connection else { throw .malformed(type) }
      ledgers.insert(Ledger(image))
      return .known(image.state.flow)
    case .baselinePart:
      let count = begun?.bytes.count ?? 0
      guard begun.map({ $0.connection == frame.connection }) ?? true, count + frame.body.count <= Self.baselineLimit
      else { throw .malformed(type) }
      begun = begun ?? (frame.connection, [])
      begun?.bytes.append(contentsOf: frame.body)
      return nil
    case .release: return ledgers.remove(frame.connection).map { .forgotten($0.flow) }
    case .syncBegin:
      let former = ledgers.all.map(\.flow)
      reset()
      return .began(former: former)
    case .syncEnd:
      isComplete = true
      return .synced
    case .goodbye:
      guard let kind = frame.body.first.flatMap(Goodbye.init) else { throw .malformed(type) }
      return .goodbye(kind)
    case .refuse:
      throw .refused(String(decoding: frame.body.prefix(1024), as: UTF8.self))
    case .hello, .acknowledge, .ingress, .egress, .consumed, .confirm, .checkpoint, .options:
      throw .unexpected(type)
    }
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
