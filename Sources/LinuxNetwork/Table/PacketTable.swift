internal import CLinux
internal import CNetfilter
internal import Glibc
internal import SystemPackage
public import TCPModel

/// The daemon's own nf_tables table, `holdfast`: which packets of the host go to which pair's queues.
///
/// For each pair there are two sets of flows and two base chains. What arrives is taken at hook input, behind everybody else's
/// filters: exactly what the host lets in. What leaves is taken at hook output, behind the host's filters there and before every
/// address translation; forwarded and bridged packets pass neither hook. A packet goes on behind the queue with the next hook entry,
/// so that no rule of others is skipped. A queue without a reader drops: what a crashed daemon's connections have to say stays
/// unsaid. Packets over the loopback interface are excepted.
///
/// Where the kernel can (Linux 6.9), the table belongs to this object's socket: nobody else can change or remove it while the
/// process lives, not by `nft flush ruleset` either. When the process dies the table stays, and the next one replaces it.
public final class PacketTable {
  static let name = "holdfast"
  static let family = UInt8(NFPROTO_INET)
  /// Behind all others; conntrack confirms its entries at the last possible one, INT_MAX.
  static let priority = Int32.max - 1

  /// How packets are handed over; nil before the first `replace`.
  public private(set) var handover: Handover?
  /// Whether nobody else can change the table. It may turn out at the first `replace` that the kernel does not know how.
  public private(set) var isOwned: Bool

  private let socket: NetfilterSocket
  private let watch: TableWatch
  private let reader: TableReader
  private var batch = TableBatch()
  private var parts: [Part] = []
  /// What the kernel answered to what was put in.
  private var numbers = TableNumbers()
  /// The ruleset's number that is expected when nobody else changes anything.
  private var generation: UInt32?
  /// The table was found changed and was put back; whoever asks is still to be told.
  private var wasTouched = false

  /// What is in the table for one pair.
  private struct Part {
    var rules: TableRules
    let names: TableNames
    var flows: Set<Flow>
  }

  /// Opens the netlink sockets and changes nothing.
  /// - Parameter owned: keep others from changing the table, where the kernel can.
  /// - Throws: `PacketTableError` when there are no sockets to be had.
  public init(owned: Bool = true) throws(PacketTableError) {
    do {
      socket = try NetfilterSocket()
      watch = try TableWatch(ignoring: socket.port)
    } catch {
      throw PacketTableError("cannot open the packet table", error)
    }
    reader = TableReader(socket: socket)
    isOwned = owned
    socket.makeRoom(1 << 20)
  }

  // MARK: Changing

  /// Puts exactly this in force in one transaction, whatever was there before: each packet meets either the old table or the new one.
  /// - Parameter flows: by pair name; those of a pair that is not among `pairs` are left out.
  /// - Throws: `PacketTableError`; then everything is as it was.
  public func replace(with pairs: [TableRules], flows: [String: Set<Flow>]) throws(PacketTableError) {
    let action = "cannot replace the packet table"
    var new: [Part] = []
    for rules in pairs {
      guard let names = TableNames(pair: rules.pair) else {
        throw PacketTableError(
          "\(action): no chain can be called after the pair \"\(rules.pair)\"", "name", .invalidArgument)
      }
      new.append(Part(rules: rules, names: names, flows: flows[rules.pair] ?? []))
    }
    try put(new, action)
  }

  /// Lets a pair's packets go to its queues or drops them, in one transaction; its flows stay.
  public func setMute(_ isMute: Bool, pair: String) throws(PacketTableError) {
    let action = "cannot \(isMute ? "mute" : "unmute") the pair \(pair)"
    let index = try index(of: pair, action)
    guard parts[index].rules.isMute != isMute else { return }
    parts[index].rules.isMute = isMute
    let part = parts[index]
    let former = numbers
    batch.begin()
    // The rules for the queues stay: a target of xtables that is made anew waits for the one before to be taken apart, which is tens
    // of milliseconds (nft_compat).
    for chain in [part.names.ingress, part.names.egress] {
      for rule in numbers.takeMuteRules(of: chain) { batch.deleteRule(rule, of: chain) }
    }
    if isMute { addMuteRules(part, sets: nil) }
    do {
      do {
        try commit(action)
      } catch  where error.isAbsence {
        numbers = former
        try restore(action)
      }
    } catch {
      numbers = former
      parts[index].rules.isMute = !isMute
      throw error
    }
  }

  /// Adds and removes flows of one pair in one transaction. One that is there already, or not there any more, is no error.
  public func change(_ pair: String, adding: [Flow], removing: [Flow]) throws(PacketTableError) {
    let action = "cannot change the flows of the pair \(pair)"
    let index = try index(of: pair, action)
    var (removed, added): ([Flow], [Flow]) = ([], [])
    batch.begin()
    for flow in removing where parts[index].flows.remove(flow) != nil {
      removed.append(flow)
      batch.addElements(NFT_MSG_DELSETELEM, 0, flow, parts[index].names)
    }
    for flow in adding where parts[index].flows.insert(flow).inserted {
      added.append(flow)
      batch.addElements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, flow, parts[index].names)
    }
    // The kernel counts only transactions that change something.
    guard !removed.isEmpty || !added.isEmpty else { return }
    do {
      // Somebody has taken out what was in there.
      do { try commit(action) } catch  where error.isAbsence { try restore(action) }
    } catch {
      for flow in added { parts[index].flows.remove(flow) }
      parts[index].flows.formUnion(removed)
      throw error
    }
  }

  /// Takes the table out of the kernel; nothing to do when there is none.
  public func remove() throws(PacketTableError) {
    let action = "cannot remove the packet table"
    for _ in 0..<Self.attempts {
      let there = try reader.table()
      guard there.table != nil else { break }
      try checkOwner(of: there, action)
      batch.begin()
      batch.deleteTable()
      do { try commit(action) } catch  where error.isAbsence { continue }
      break
    }
    parts = []
    numbers = TableNumbers()
  }

  // MARK: Looking

  /// The flows by pair name that the kernel's table has now, also when another process made it; empty when there is no table.
  public func flows() throws(PacketTableError) -> [String: Set<Flow>] {
    var flows: [String: Set<Flow>] = [:]
    for set in try reader.numbers().setNames {
      guard let pair = TableNames.pair(ofSet: set) else { continue }
      flows[pair, default: []].formUnion(try reader.flows(ofSet: set))
    }
    return flows
  }

  /// Readable when somebody else has changed the host's ruleset.
  public var descriptor: Int32 { watch.descriptor }

  /// Takes in what others have done since the last call.
  public func takeChanges() -> TableChange { watch.takeChanges() }

  /// Whether the kernel has what this object put there; needs no notification.
  ///
  /// Table, chains, rules and sets are compared by their handles. The elements are read only when somebody else has changed the
  /// ruleset, and the table does not belong to this object.
  /// - Parameter sample: flows by pair name that must be there; those that this object was not given are none of it.
  public func isIntact(sample: [String: [Flow]] = [:]) throws(PacketTableError) -> Bool {
    let now = try reader.generation()
    guard try reader.numbers() == numbers else { return false }
    if wasTouched {
      wasTouched = false
      return false
    }
    for (pair, flows) in sample {
      guard let part = parts.first(where: { $0.rules.pair == pair }) else { return false }
      guard try reader.contains(flows, in: part.names) else { return false }
    }
    if now == generation || numbers.owner == socket.port { return true }
    for part in parts {
      let (v4, v6) = (TableNames.text(part.names.v4), TableNames.text(part.names.v6))
      let there = try reader.flows(ofSet: v4).union(try reader.flows(ofSet: v6))
      guard there == part.flows else { return false }
    }
    generation = now
    return true
  }

  // MARK: Transactions

  /// How often a transaction is tried that somebody else's came in between of.
  private static let attempts = 5

  private func index(of pair: String, _ action: String) throws(PacketTableError) -> Int {
    guard let index = parts.firstIndex(where: { $0.rules.pair == pair }) else {
      throw PacketTableError("\(action): it is not in the packet table", "name", .invalidArgument)
    }
    return index
  }

  private func checkOwner(of there: TableNumbers, _ action: String) throws(PacketTableError) {
    guard let owner = there.owner, owner != socket.port else { return }
    var error = PacketTableError(action, type: TableBatch.type(NFT_MSG_DELTABLE), .notPermitted)
    error.isForeign = true
    throw error
  }

  /// Somebody has removed or changed the table: all of it is put there again, with what has just been changed.
  private func restore(_ action: String) throws(PacketTableError) {
    wasTouched = true
    try put(parts, action)
  }

  /// The table with these parts and nothing else.
  private func put(_ new: [Part], _ action: String) throws(PacketTableError) {
    let former = numbers
    var attempt = 0
    while true {
      do {
        let (there, now) = (try reader.table(), try reader.generation())
        try checkOwner(of: there, action)
        numbers = TableNumbers()
        let handover = handover ?? .queue
        batch.begin()
        if there.table != nil { batch.deleteTable() }
        batch.newTable(flags: isOwned ? TableFlags.owner | TableFlags.persist : 0)
        for (index, part) in new.enumerated() {
          let sets = (v4: UInt32(2 * index + 1), v6: UInt32(2 * index + 2))
          batch.newSet(part.names.v4, number: sets.v4, isIPv6: false)
          batch.newSet(part.names.v6, number: sets.v6, isIPv6: true)
          batch.newChain(part.names.ingress, hook: NF_INET_LOCAL_IN)
          batch.newChain(part.names.egress, hook: NF_INET_LOCAL_OUT)
          addRules(part, sets: sets, handover)
          if part.rules.isMute { addMuteRules(part, sets: sets) }
          batch.addElements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, set: part.names.v4, part.flows, isIPv6: false)
          batch.addElements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, set: part.names.v6, part.flows, isIPv6: true)
        }
        try commit(action)
        self.handover = handover
        parts = new
        generation = now &+ 1
        return
      } catch {
        attempt += 1
        numbers = former
        guard attempt < Self.attempts, canBeMended(error) else { throw error }
      }
    }
  }

  /// Whether another attempt may do better: the kernel lacks something that can be done without, or somebody came in between.
  private func canBeMended(_ error: PacketTableError) -> Bool {
    switch error.message {
    case "NFT_MSG_NEWRULE" where handover == nil:
      handover = .target
      return true
    case "NFT_MSG_NEWTABLE" where isOwned && (error.errno == .notSupported || error.errno == .invalidArgument):
      isOwned = false
      return true
    case "NFT_MSG_NEWTABLE": return error.errno == .fileExists
    case "NFT_MSG_DELTABLE": return error.isAbsence
    default: return false
    }
  }

  private func addRules(_ part: Part, sets: (v4: UInt32, v6: UInt32), _ handover: Handover) {
    batch.newRule(TableRule.passTowardsVRF(chain: part.names.egress))
    eachKind(part, sets) { arriving, rule in
      batch.newRule(rule(.queue(arriving ? part.rules.ingressQueue : part.rules.egressQueue, handover)))
    }
  }

  private func addMuteRules(_ part: Part, sets: (v4: UInt32, v6: UInt32)?) {
    eachKind(part, sets) { _, rule in batch.newRule(rule(.drop), isFirst: true) }
  }

  /// Both directions and both families.
  private func eachKind(
    _ part: Part, _ sets: (v4: UInt32, v6: UInt32)?, _ body: (Bool, (TableRule.Verdict) -> TableRule) -> Void
  ) {
    let names = part.names
    for arriving in [true, false] {
      for isIPv6 in [false, true] {
        let set = (isIPv6 ? names.v6 : names.v4, isIPv6 ? sets?.v6 : sets?.v4)
        body(arriving) { verdict in
          .flows(
            chain: arriving ? names.ingress : names.egress, arriving: arriving, isIPv6: isIPv6, set: set,
            verdict: verdict)
        }
      }
    }
  }

  /// Sends the transaction and reads what the kernel says of it.
  private func commit(_ action: String) throws(PacketTableError) {
    batch.end()
    var failure: (code: Int32, type: UInt16)?
    var isDone = false
    let (first, acknowledged) = (batch.first, batch.acknowledged)
    do {
      try socket.send(batch.bytes)
      while !isDone {
        let reception = try socket.receive { answer in
          guard answer.sequence &- first <= acknowledged &- first else { return }
          guard let verdict = answer.verdict else { return numbers.take(answer) }
          if verdict.code != 0, failure == nil { failure = verdict }
          // Nothing is said of the messages when all are refused at once, or when the commit itself fails.
          isDone = isDone || answer.sequence == acknowledged || answer.sequence == first
        }
        if reception == .nothing { break }
      }
    } catch {
      throw PacketTableError(action, error)
    }
    if let failure {
      throw PacketTableError(action, type: failure.type, Errno(rawValue: failure.code))
    }
    // What is in force is not known; `isIntact` and `replace` find out.
    guard isDone else { throw PacketTableError(action, "acknowledgement", .noBufferSpace) }
    generation = generation.map { $0 &+ 1 }
  }
}
