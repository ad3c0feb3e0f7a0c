internal import CNetfilter
internal import Glibc
internal import TCPModel

/// The messages of one nf_tables transaction, from NFNL_MSG_BATCH_BEGIN to NFNL_MSG_BATCH_END, in one piece of memory that is used
/// again and again. The kernel takes all of them or none.
struct TableBatch: ~Copyable {
  private var memory: UnsafeMutableRawPointer
  private var capacity = 1 << 14
  private var count = 0
  /// The sequence number of the next message. Questions count from 1.
  private var sequence: UInt32 = 1 << 31
  /// The sequence numbers of the first message of this transaction and of the one that is acknowledged.
  private(set) var first: UInt32 = 0
  private(set) var acknowledged: UInt32 = 0
  /// Where the last message begins that can be acknowledged.
  private var last = 0

  /// Room for any message that holds no elements.
  private static let messageSize = 4096
  /// An attribute, and so the list of elements, has a 16-bit length.
  private static let listSize = 60_000

  init() { memory = .allocate(byteCount: capacity, alignment: 16) }

  deinit { memory.deallocate() }

  /// All that is to be sent.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: count) }

  /// Starts a transaction; what was there before is forgotten.
  mutating func begin() {
    count = 0
    first = sequence
    frame(NFNL_MSG_BATCH_BEGIN)
  }

  /// Ends it. The last message that says anything is acknowledged: the kernel answers after it has committed or given up, errors
  /// first.
  mutating func end() {
    let header = (memory + last).assumingMemoryBound(to: nlmsghdr.self)
    header.pointee.nlmsg_flags |= UInt16(NLM_F_ACK)
    acknowledged = header.pointee.nlmsg_seq
    frame(NFNL_MSG_BATCH_END)
  }

  private mutating func frame(_ type: Int32) {
    let header = open(UInt16(type), flags: 0, family: UInt8(AF_UNSPEC), room: Self.messageSize)
    // nfgenmsg's res_id: the subsystem.
    (UnsafeMutableRawPointer(header) + 18).storeBytes(of: UInt16(NFNL_SUBSYS_NFTABLES).bigEndian, as: UInt16.self)
    close(header)
  }

  /// Adds one message; `body` puts the attributes in, at most 4000 bytes.
  mutating func add(_ type: nf_tables_msg_types, _ flags: Int32, _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void) {
    let header = open(Self.type(type), flags: flags, family: PacketTable.family, room: Self.messageSize)
    body(header)
    close(header)
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
        close(open.header)
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
    close(message.header)
  }

  private mutating func openList(
    _ type: nf_tables_msg_types, _ flags: Int32, _ set: [CChar]
  ) -> (header: UnsafeMutablePointer<nlmsghdr>, list: UnsafeMutablePointer<nlattr>?) {
    let header = open(
      Self.type(type), flags: flags, family: PacketTable.family, room: Self.listSize + Self.messageSize)
    mnl_attr_put_strz(header, UInt16(NFTA_SET_ELEM_LIST_TABLE.rawValue), PacketTable.name)
    mnl_attr_put_strz(header, UInt16(NFTA_SET_ELEM_LIST_SET.rawValue), set)
    return (header, mnl_attr_nest_start(header, UInt16(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)))
  }

  /// nlmsg_type
  static func type(_ type: nf_tables_msg_types) -> UInt16 {
    UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type.rawValue)
  }

  /// Starts a message of at most `room` bytes.
  private mutating func open(
    _ type: UInt16, flags: Int32, family: UInt8, room: Int
  ) -> UnsafeMutablePointer<nlmsghdr> {
    if capacity < count + room {
      capacity = 2 * capacity + room
      let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
      larger.copyMemory(from: memory, byteCount: count)
      memory.deallocate()
      memory = larger
    }
    let start = memory + count
    let header = start.bindMemory(to: nlmsghdr.self, capacity: 1)
    header.initialize(
      to: nlmsghdr(
        nlmsg_len: 20, nlmsg_type: type, nlmsg_flags: UInt16(NLM_F_REQUEST | flags), nlmsg_seq: sequence, nlmsg_pid: 0))
    start.storeBytes(of: 0, toByteOffset: 16, as: UInt32.self)
    start.storeBytes(of: family, toByteOffset: 16, as: UInt8.self)
    if type >> 8 == UInt16(NFNL_SUBSYS_NFTABLES) { last = count }
    sequence &+= 1
    return header
  }

  private mutating func close(_ header: UnsafeMutablePointer<nlmsghdr>) {
    count += Int(header.pointee.nlmsg_len + 3) & ~3
  }
}
