internal import CLinux
internal import CNetfilter
internal import Glibc
internal import SystemCalls
internal import SystemPackage
internal import TCPModel

/// Asks the kernel what the packet table is.
struct TableReader {
  let socket: NetfilterSocket

  private static let action = "cannot read the packet table"

  /// All but the elements. Without a table, `table` is nil.
  func numbers() throws(PacketTableError) -> TableNumbers {
    var numbers = TableNumbers()
    try ask(NFT_MSG_GETTABLE, isDump: false, nameAttribute: Int(NFTA_TABLE_NAME.rawValue)) { numbers.take($0) }
    guard numbers.table != nil else { return numbers }
    let bare = numbers
    try retrying { () throws(PacketTableError) in
      numbers = bare
      // The filter by table is the same attribute in each.
      for type in [NFT_MSG_GETCHAIN, NFT_MSG_GETSET, NFT_MSG_GETRULE] {
        try ask(type, isDump: true, nameAttribute: 1) { numbers.take($0) }
      }
    }
    return numbers
  }

  /// The table alone: its handle, flags and owner.
  func table() throws(PacketTableError) -> TableNumbers {
    var numbers = TableNumbers()
    try ask(NFT_MSG_GETTABLE, isDump: false, nameAttribute: Int(NFTA_TABLE_NAME.rawValue)) { numbers.take($0) }
    return numbers
  }

  /// The elements of one set; none when there is no such set.
  func flows(ofSet name: String) throws(PacketTableError) -> Set<Flow> {
    var flows: Set<Flow> = []
    try retrying { () throws(PacketTableError) in
      flows = []
      try ask(NFT_MSG_GETSETELEM, isDump: true, nameAttribute: Int(NFTA_SET_ELEM_LIST_TABLE.rawValue), set: name) {
        $0.attributes.nested(Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue))?.each { _, element in
          let key = NetlinkAttributes(element).nested(Int(NFTA_SET_ELEM_KEY.rawValue))
          if let flow = key?[Int(NFTA_DATA_VALUE.rawValue)].flatMap(FlowKey.read) { flows.insert(flow) }
        }
      }
    }
    return flows
  }

  /// Whether all of these are elements of the sets.
  func contains(_ flows: [Flow], in names: TableNames) throws(PacketTableError) -> Bool {
    for flow in flows {
      var isThere = false
      let isIPv6 = flow.peer.address.isIPv6
      var element = FlowKey.bytes(flow, isIPv6: isIPv6)
      for type in [NFTA_DATA_VALUE.rawValue, NFTA_SET_ELEM_KEY.rawValue, NFTA_LIST_ELEM.rawValue] {
        element = NetlinkRequest.attribute(Int(type), element)
      }
      try ask(
        NFT_MSG_GETSETELEM, isDump: false, nameAttribute: Int(NFTA_SET_ELEM_LIST_TABLE.rawValue),
        set: TableNames.text(isIPv6 ? names.v6 : names.v4), elements: element
      ) { _ in isThere = true }
      guard isThere else { return false }
    }
    return true
  }

  /// The number of the ruleset that is in force: each transaction of anybody makes it one more.
  func generation() throws(PacketTableError) -> UInt32 {
    var generation: UInt32 = 0
    try ask(NFT_MSG_GETGEN, isDump: false, nameAttribute: nil) {
      generation = $0.attributes.number(Int(NFTA_GEN_ID.rawValue), as: UInt32.self) ?? 0
    }
    return generation
  }

  // MARK: Asking

  /// A dump was interrupted by somebody's transaction (NLM_F_DUMP_INTR).
  private static let interrupted = Errno(rawValue: EINTR)

  private func retrying(_ body: () throws(PacketTableError) -> Void) throws(PacketTableError) {
    for _ in 0..<100 {
      do { return try body() } catch  where error.errno == Self.interrupted { continue }
    }
    throw PacketTableError(Self.action, "dump", Self.interrupted)
  }

  /// - Parameter nameAttribute: which attribute takes the table's name; nil for a question that is not about the table.
  private func ask(
    _ type: nf_tables_msg_types, isDump: Bool, nameAttribute: Int?, set: String? = nil,
    elements: [UInt8]? = nil, _ body: (NetlinkAnswer) -> Void
  ) throws(PacketTableError) {
    let sequence = socket.nextSequence()
    var message = NetlinkRequest(
      subsystem: NFNL_SUBSYS_NFTABLES, type: type.rawValue, flags: isDump ? NLM_F_ROOT | NLM_F_MATCH : NLM_F_ACK,
      sequence: sequence,
      family: PacketTable.family)
    if let nameAttribute { message.put(nameAttribute, PacketTable.name) }
    if let set { message.put(Int(NFTA_SET_ELEM_LIST_SET.rawValue), set) }
    if let elements { message.put(Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue), elements) }
    var failure: Int32?
    var (isDone, isInterrupted, isLost) = (false, false, false)
    do {
      try message.withBytes { bytes throws(SystemCallError) in try socket.send(bytes) }
      while !isDone {
        let reception = try socket.receive { answer in
          guard answer.sequence == sequence else { return }
          if answer.flags & UInt16(NLM_F_DUMP_INTR) != 0 { isInterrupted = true }
          if let verdict = answer.verdict {
            (failure, isDone) = (verdict.code, true)
          } else if answer.type == UInt16(NLMSG_DONE) {
            isDone = true
          } else {
            body(answer)
          }
        }
        if reception == .overrun { isLost = true }
        if reception == .nothing { break }
      }
    } catch {
      throw PacketTableError(Self.action, error)
    }
    if isInterrupted { throw PacketTableError(Self.action, type: TableBatch.type(type), Self.interrupted) }
    guard isDone, !isLost else { throw PacketTableError(Self.action, type: TableBatch.type(type), .noBufferSpace) }
    // There is no such table, or no such set.
    if let failure, failure != 0, failure != ENOENT {
      throw PacketTableError(Self.action, type: TableBatch.type(type), Errno(rawValue: failure))
    }
  }
}
