internal import LinuxNetwork
internal import TCPModel

/// One pair's part of the packet table: which flows' packets go to the pair's queues.
///
/// What belongs there follows from the connections and ledgers that the pair has; nothing here keeps a second list of it.
final class PairFlows {
  let pair: String
  private let keeper: TableKeeper
  /// Whether a flow belongs in the table now.
  var wants: (Flow) -> Bool = { _ in false }
  /// All that belong there now.
  var all: () -> Set<Flow> = { [] }
  /// The table had these flows of the pair when the daemon started.
  var onFound: ((Set<Flow>) -> Void)?
  /// The table was changed by somebody else and is back: packets may have passed unrecorded.
  /// - Returns: how many connections that concerns.
  var onTouched: ((_ reason: String) -> Int)?
  /// Whether the table is in force has changed.
  var onForce: (() -> Void)?

  init(pair: String, keeper: TableKeeper) {
    self.pair = pair
    self.keeper = keeper
  }

  /// Why the table is not in force; nil when it is.
  var problem: String? { keeper.problem }

  /// Puts a flow into the table. When this returns its packets go to the queues.
  func add(_ flow: Flow) throws(TableProblem) { try keeper.add(flow, to: pair) }

  /// Whether the flow belongs in the table may have changed: the table follows soon.
  func changed(_ flow: Flow) { keeper.changed(flow, of: pair) }

  /// Brings the table up to date now.
  func settle() { keeper.settle() }

  /// Drops the packets of the flows from here on, instead of queueing them.
  func mute() throws(PacketTableError) { try keeper.mute(pair) }
}
