/// The ledgers that one side holds for a pair, found by connection or by flow.
public struct LedgerBook {
  private var byConnection: [UInt64: Ledger] = [:]
  private var byFlow: [Flow: Ledger] = [:]

  public init() {}

  public var count: Int { byConnection.count }
  public var all: some Collection<Ledger> { byConnection.values }

  public subscript(connection: UInt64) -> Ledger? { byConnection[connection] }
  public subscript(flow: Flow) -> Ledger? { byFlow[flow] }

  /// Takes in a ledger; what was known of the same connection, or of an earlier one with the same flow, is replaced.
  public mutating func insert(_ ledger: Ledger) {
    if let former = byFlow[ledger.flow] { byConnection[former.identity.id] = nil }
    if let former = byConnection[ledger.identity.id] { byFlow[former.flow] = nil }
    byConnection[ledger.identity.id] = ledger
    byFlow[ledger.flow] = ledger
  }

  @discardableResult
  public mutating func remove(_ connection: UInt64) -> Ledger? {
    guard let ledger = byConnection.removeValue(forKey: connection) else { return nil }
    byFlow[ledger.flow] = nil
    return ledger
  }

  public mutating func removeAll() {
    byConnection = [:]
    byFlow = [:]
  }
}
