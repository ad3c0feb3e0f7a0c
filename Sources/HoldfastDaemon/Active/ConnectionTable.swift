internal import LinuxNetwork
internal import SystemCalls
internal import TCPModel

/// The protected connections that this host owns, found by flow on the hot path and by id from the control socket.
final class ConnectionTable {
  /// What a standby is told of. Of connections that lack something it has but the name, to reset them if it comes to that.
  private(set) var ledgers = LedgerBook()
  private var byFlow: [Flow: LiveConnection] = [:]
  private var byID: [UInt64: LiveConnection] = [:]

  private var perService: [String: Int] = [:]
  private var perUser: [UInt32: Int] = [:]
  /// Whose each connection is counted as.
  private var userOf: [UInt64: UInt32] = [:]

  /// A connection is here from now on, is not any more, or belongs to somebody else.
  var onChange: ((LiveConnection) -> Void)?
  /// A flow has a connection from now on, or has none any more.
  var onFlow: ((Flow) -> Void)?

  var count: Int { byID.count }
  func count(ofService service: String) -> Int { perService[service] ?? 0 }
  func count(ofUser user: UInt32) -> Int { perUser[user] ?? 0 }
  var all: some Collection<LiveConnection> { byID.values }

  subscript(flow: Flow) -> LiveConnection? {
    @inline(__always) get { byFlow[flow] }
  }
  subscript(id: UInt64) -> LiveConnection? { byID[id] }

  func insert(_ connection: LiveConnection) {
    let flow = connection.ledger.flow
    if let former = byFlow[flow] { remove(former) }
    if let former = byID[connection.id] { remove(former) }
    connection.isGone = false
    byFlow[flow] = connection
    byID[connection.id] = connection
    ledgers.insert(connection.isSettling ? connection.ledger.standIn : connection.ledger)
    onFlow?(flow)
    perService[connection.ledger.identity.service, default: 0] += 1
    if let owner = connection.owner { assign(connection, to: owner.user) }
    onChange?(connection)
  }

  /// What its ledger holds may not be so: a standby is told of a connection that it cannot continue.
  func doubt(_ connection: LiveConnection, _ reason: String) {
    guard byID[connection.id] === connection else { return }
    connection.doubt = reason
    connection.isSettling = true
    ledgers.insert(connection.ledger.standIn)
  }

  /// Nothing is missing any more.
  func settle(_ connection: LiveConnection) {
    guard byID[connection.id] === connection else { return }
    connection.isSettling = false
    ledgers.insert(connection.ledger)
  }

  /// From here on the connection counts as this user's.
  func assign(_ connection: LiveConnection, to user: UInt32) {
    guard byID[connection.id] === connection else { return }
    unassign(connection)
    userOf[connection.id] = user
    perUser[user, default: 0] += 1
    onChange?(connection)
  }

  /// It is no user's.
  func disown(_ connection: LiveConnection) {
    guard byID[connection.id] === connection else { return }
    unassign(connection)
    onChange?(connection)
  }

  private func unassign(_ connection: LiveConnection) {
    if let user = userOf.removeValue(forKey: connection.id) { perUser[user, default: 1] -= 1 }
  }

  func remove(_ connection: LiveConnection) {
    guard byID[connection.id] === connection else { return }
    connection.isGone = true
    byID[connection.id] = nil
    perService[connection.ledger.identity.service, default: 1] -= 1
    unassign(connection)
    if byFlow[connection.ledger.flow] === connection { byFlow[connection.ledger.flow] = nil }
    ledgers.remove(connection.id)
    onFlow?(connection.ledger.flow)
    onChange?(connection)
  }

  func removeAll() {
    let all = byID.values
    for connection in all { connection.isGone = true }
    defer {
      for connection in all {
        onChange?(connection)
        onFlow?(connection.ledger.flow)
      }
    }
    byID = [:]
    byFlow = [:]
    perService = [:]
    perUser = [:]
    userOf = [:]
    ledgers.removeAll()
  }
}
