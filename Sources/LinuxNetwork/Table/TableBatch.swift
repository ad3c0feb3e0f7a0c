internal import CLinux
internal import CNetfilter
internal import Glibc
internal import TCPModel

/// The messages of one nf_tables transaction, from NFNL_MSG_BATCH_BEGIN to NFNL_MSG_BATCH_END, in one piece of memory that is used
/// again and again. The kernel takes all of them or none.
struct TableBatch: ~Copyable {
  private var buffer = NetlinkBuffer()
  /// The sequence numbers of the first message of this transaction and of the one that is acknowledged.
  private(set) var first: UInt32 = 0
  private(set) var acknowledged: UInt32 = 0
  /// Where the last message begins that can be acknowledged.
  private var last = 0

  /// Room for any message that holds no elements.
  private static let messageSize = 4096
  /// An attribute, and so the list of elements, has a 16-bit length.
  private static let listSize = 60_000

  /// All that is to be sent.
  var bytes: UnsafeRawBufferPointer { buffer.bytes }

  /// Starts a transaction; what was there before is forgotten.
  mutating func begin() {
    buffer.removeAll()
    first = buffer.sequence
    frame(NFNL_MSG_BATCH_BEGIN)
  }

  /// Ends it. The last message that says anything is acknowledged: the kernel answers after it has committed or given up, errors
  /// first.
  mutating func end() {
    acknowledged = buffer.acknowledge(at: last)
    frame(NFNL_MSG_BATCH_END)
  }

  private mutating func frame(_ type: Int32) {
    let header = buffer.open(0, UInt32(type), flags: 0, family: UInt8(AF_UNSPEC), room: Self.messageSize)
    // nfgenmsg's res_id: the subsystem.
    (UnsafeMutableRawPointer(header) + 18).storeBytes(of: UInt16(NFNL_SUBSYS_NFTABLES).bigEndian, as: UInt16.self)
    buffer.close(header)
  }

  /// Adds one message; `body` puts the attributes in, at most 4000 bytes.
  mutating func add(_ type: nf_tables_msg_types, _ flags: Int32, _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void) {
    let header = open(type, flags, room: Self.messageSize)
    body(header)
    buffer.close(header)
  }

  /// Adds or removes one flow.
  mutating func addElements(_ type: nf_tables_msg_types, _ flags: Int32, _ flow: Flow, _ names: TableNames) {
    let isIPv6 = flow.peer.address.isIPv6
    addElements(type, flags, set: isIPv6 ? names.v6 : names.v4, CollectionOfOne(flow), isIPv6: isIPv6)
  }

  /// Adds or removes those elements that are of the set's family, in as many messages as it takes.
  mutating func addElements(
    _ type: nf_tables_msg_types, _ flags: Int32, set name: [CChar], _ flows: some Sequence<Flow>, isIPv6: Bool
  ) {
    let keySize = isIPv6 ? FlowKey.sizes.v6 : FlowKey.sizes.v4
    var message: (header: UnsafeMutablePointer<nlmsghdr>, list: UnsafeMutablePointer<nlattr>?)?
    for flow in flows where flow.peer.address.isIPv6 == isIPv6 {
      if let open = message, Int(open.header.pointee.nlmsg_len) > Self.listSize {
        mnl_attr_nest_end(open.header, open.list)
        buffer.close(open.header)
        message = nil
      }
      let open = message ?? openList(type, flags, name)
      message = open
      let element = mnl_attr_nest_start(open.header, UInt16(NFTA_LIST_ELEM.rawValue))
      let key = mnl_attr_nest_start(open.header, UInt16(NFTA_SET_ELEM_KEY.rawValue))
      withUnsafeTemporaryAllocation(byteCount: FlowKey.sizes.v6, alignment: 8) { bytes in
        guard let base = bytes.baseAddress else { return }
        FlowKey.write(flow, isIPv6: isIPv6, to: base)
        mnl_attr_put(open.header, UInt16(NFTA_DATA_VALUE.rawValue), keySize, base)
      }
      mnl_attr_nest_end(open.header, key)
      mnl_attr_nest_end(open.header, element)
    }
    guard let message else { return }
    mnl_attr_nest_end(message.header, message.list)
    buffer.close(message.header)
  }

  private mutating func openList(
    _ type: nf_tables_msg_types, _ flags: Int32, _ set: [CChar]
  ) -> (header: UnsafeMutablePointer<nlmsghdr>, list: UnsafeMutablePointer<nlattr>?) {
    let header = open(type, flags, room: Self.listSize + Self.messageSize)
    mnl_attr_put_strz(header, UInt16(NFTA_SET_ELEM_LIST_TABLE.rawValue), PacketTable.name)
    mnl_attr_put_strz(header, UInt16(NFTA_SET_ELEM_LIST_SET.rawValue), set)
    return (header, mnl_attr_nest_start(header, UInt16(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)))
  }

  /// nlmsg_type
  static func type(_ type: nf_tables_msg_types) -> UInt16 {
    UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type.rawValue)
  }

  private mutating func open(
    _ type: nf_tables_msg_types, _ flags: Int32, room: Int
  ) -> UnsafeMutablePointer<nlmsghdr> {
    last = buffer.count
    return buffer.open(
      NFNL_SUBSYS_NFTABLES, type.rawValue, flags: flags, family: PacketTable.family, room: room)
  }
}
