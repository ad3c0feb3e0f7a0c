import Modelling
import Replication
import TCPModel
import Testing

/// Both ends of a replication channel with modelled connections on the active host, and a transport that takes as much as the
/// test says.
final class Rig {
  var source: ReplicationSource
  /// The active host's ledgers.
  var book = LedgerBook()
  var models: [UInt64: ModelConnection] = [:]
  var replica = Replica()
  private var incoming = IncomingStream()
  /// Bytes that the transport has taken and not delivered.
  private var wire: [UInt8] = []
  private var packet: UInt32 = 0
  private(set) var released: [UInt32] = []
  private(set) var events: [Replica.Event] = []
  private(set) var isGreeted = false
  var now: UInt64 = 1_000_000_000

  init(gateIsOpen: Bool = false) { source = ReplicationSource(gateIsOpen: gateIsOpen) }

  static let hello = Hello(
    node: "alpha", pair: "web", instance: 1, epoch: 3, position: 0, supportsMicroseconds: true)

  @discardableResult
  func register(_ seed: UInt64, _ shape: ModelConnection.Shape = .init(input: 4000, output: 4000)) -> UInt64 {
    let model = ModelConnection(seed: seed, shape: shape)
    let ledger = Ledger(model.baseline)
    models[ledger.identity.id] = model
    book.insert(ledger)
    _ = source.register(ledger, now: now)
    return ledger.identity.id
  }

  func release(_ connection: UInt64) {
    models[connection] = nil
    book.remove(connection)
    source.release(connection)
  }

  /// One thing happens on a connection.
  func step(_ connection: UInt64, lending: Bool = false) {
    guard let ledger = book[connection], var model = models[connection] else { return }
    for event in model.step() {
      event.withRecord(at: now) { source.record($0, in: ledger, lending: lending) }
      if case .egress = event {
        packet += 1
        source.hold(packet)
      }
      if lending { source.outgoing.settle() }
    }
    models[connection] = model
  }

  func attach() {
    incoming = IncomingStream()
    wire = []
    isGreeted = false
    source.attach(Self.hello, connections: book.all.map(\.identity.id))
  }

  func detach() {
    source.detach()
    wire = []
  }

  /// The transport takes up to `limit` bytes and the standby folds all that has arrived.
  func transfer(limit: Int = .max) throws {
    wire += Wire.take(&source.outgoing, limit: limit)
    try deliver()
  }

  private func deliver() throws {
    let bytes = wire
    wire = []
    var rest = bytes[...]
    while !rest.isEmpty {
      let space = incoming.space()
      let count = min(rest.count, space.count)
      space.copyBytes(from: rest.prefix(count))
      incoming.commit(count)
      rest = rest.dropFirst(count)
      while let frame = try incoming.next() {
        guard isGreeted else {
          let hello = try Hello(frame)
          incoming.rebase(to: hello.position)
          isGreeted = true
          continue
        }
        switch try replica.fold(frame, now: now) {
        case .recorded?, nil: break
        case let event?: events.append(event)
        }
      }
    }
  }

  /// The standby acknowledges everything that it has folded, and what may leave leaves.
  /// - Returns: whether that completed the sync.
  @discardableResult
  func acknowledge(_ position: UInt64? = nil) throws -> Bool {
    var isSynced = false
    var stream = IncomingStream()
    try Wire.give(Wire.frame(.acknowledge, Wire.number(position ?? incoming.position)), to: &stream) {
      isSynced = try source.receive($0)
    }
    letGo()
    return isSynced
  }

  func letGo() { if let last = source.gate.release() { released.append(last) } }

  func pump() -> Bool { source.pump(book, now: now) }

  /// Everything that is on its way arrives and is acknowledged.
  func settle() throws {
    repeat {
      _ = pump()
      try transfer()
      try acknowledge()
    } while source.phase == .syncing || source.outgoing.unsentCount > 0
  }

  // What the tests look at: the source itself cannot be copied out.
  var phase: ReplicationSource.Phase { source.phase }
  var lag: UInt64 { source.lag }
  var position: UInt64 { source.outgoing.position }
  var unsentCount: Int { source.outgoing.unsentCount }
  var acknowledged: UInt64 { source.acknowledged }
  var committed: UInt64 { source.gate.committed }
  var waitingCount: Int { source.gate.waitingCount }
  var gateIsOpen: Bool { source.gate.isOpen }
  var isCongested: Bool { source.isCongested }
  var lastPacket: UInt32 { packet }

  /// The standby's ledgers are the active host's; only when a TSval was recorded is each host's own time, and the standby's is
  /// later.
  func compare(_ context: @autoclosure () -> String, sourceLocation: SourceLocation = #_sourceLocation) {
    let ours = Set(book.all.map(\.identity.id))
    let theirs = Set(replica.ledgers.all.map(\.identity.id))
    #expect(ours == theirs, "\(context())", sourceLocation: sourceLocation)
    for ledger in book.all {
      let ours = ledger.image
      var theirs = replica.ledgers[ledger.identity.id]?.image
      let isLater = theirs.map { $0.state.timestamp.moment >= ours.state.timestamp.moment } ?? false
      theirs?.state.timestamp.moment = ours.state.timestamp.moment
      let isSame = theirs == ours && isLater
      #expect(isSame, "\(context()): connection \(ledger.identity.id)", sourceLocation: sourceLocation)
    }
  }
}
