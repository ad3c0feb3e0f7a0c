internal import CLinux
internal import CNetfilter
internal import Glibc
public import SystemCalls
internal import SystemPackage
public import TCPModel

/// The kernel's connection tracking, as far as a restored connection needs it (ctnetlink, linux/netfilter/nfnetlink_conntrack.h).
///
/// A host that never saw a connection has no entry for it. Where rules ask for the state, its packets are then new or invalid; and
/// those that are held side by side, each with an entry of its own that nobody has confirmed, clash when they are let go: the first
/// is confirmed, the others are dropped (`insert_failed` of `conntrack -S`).
public final class ConntrackTable {
  private let socket: NetfilterSocket
  private var buffer = NetlinkBuffer()
  /// Seconds that an established connection's entry stays without a packet.
  private let timeout: UInt32

  /// Bytes that are sent at once.
  private static let chunk = 1 << 18
  /// Room for one message.
  private static let messageSize = 512
  private static let folder = "/proc/sys/net/netfilter"

  /// Opens a netlink socket and changes nothing.
  public init() throws(SystemCallError) {
    socket = try NetfilterSocket()
    socket.makeRoom(4 * Self.chunk)
    timeout = Self.establishedTimeout
  }

  /// Whether the kernel tracks connections here at the moment. False also when it cannot be asked.
  public var isInUse: Bool {
    // The question alone would load the modules.
    guard access("\(Self.folder)/nf_conntrack_max", F_OK) == 0 else { return false }
    var request = NetlinkRequest(
      subsystem: NFNL_SUBSYS_CTNETLINK, type: IPCTNL_MSG_CT_GET_STATS.rawValue, flags: NLM_F_ACK,
      sequence: socket.nextSequence(), family: UInt8(AF_UNSPEC))
    var entries: UInt32 = 0
    do {
      try request.withBytes { bytes throws(SystemCallError) in try socket.send(bytes) }
      while try socket.receive({ answer in
        guard answer.verdict == nil else { return }
        entries = answer.attributes.number(Int(CTA_STATS_GLOBAL_ENTRIES.rawValue), as: UInt32.self) ?? 0
      }) == .messages {}
    } catch {
      return false
    }
    return entries > 0
  }

  /// Makes entries for connections that the kernel has not seen: established, with packets in both directions, from the peer to the
  /// local end. One that is there already becomes such an entry or stays as it is. Sequence numbers are not known and are not
  /// checked (BE_LIBERAL). The entries expire as the kernel's established ones do.
  /// - Throws: `SystemCallError` when the kernel refused any of them; all others are made.
  public func insert(_ flows: some Collection<Flow>) throws(SystemCallError) {
    var (refused, reason): (Int, Int32) = (0, 0)
    var last = 0
    buffer.removeAll()
    for flow in flows {
      last = buffer.count
      add(flow)
      guard buffer.count >= Self.chunk else { continue }
      try flush(last, &refused, &reason)
    }
    try flush(last, &refused, &reason)
    guard refused == 0 else {
      throw SystemCallError(
        "IPCTNL_MSG_CT_NEW", on: "\(refused) of \(flows.count) connections", errno: Errno(rawValue: reason))
    }
  }

  /// Sends what is in the buffer and counts what is refused.
  private func flush(_ last: Int, _ refused: inout Int, _ reason: inout Int32) throws(SystemCallError) {
    guard buffer.count > 0 else { return }
    let acknowledged = buffer.acknowledge(at: last)
    defer { buffer.removeAll() }
    try socket.send(buffer.bytes)
    var (isDone, failures, failure): (Bool, Int, Int32) = (false, 0, 0)
    loop: while !isDone {
      let reception = try socket.receive { answer in
        if let verdict = answer.verdict, verdict.code != 0, !Self.isKept(verdict.code) {
          failures += 1
          failure = verdict.code
        }
        isDone = isDone || answer.sequence == acknowledged
      }
      switch reception {
      case .messages: continue
      case .nothing: break loop
      case .overrun:
        failures += 1
        failure = ENOBUFS
      }
    }
    refused += failures
    if failure != 0 { reason = failure }
  }

  /// The entry that is there cannot be changed so, and need not be.
  private static func isKept(_ code: Int32) -> Bool { code == EBUSY || code == EEXIST }

  // MARK: Messages

  private func add(_ flow: Flow) {
    let isIPv6 = flow.peer.address.isIPv6
    let header = buffer.open(
      NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW.rawValue, flags: NLM_F_CREATE,
      family: UInt8(isIPv6 ? AF_INET6 : AF_INET), room: Self.messageSize)
    put(header, CTA_TUPLE_ORIG, from: flow.peer, to: flow.local)
    put(header, CTA_TUPLE_REPLY, from: flow.local, to: flow.peer)
    mnl_attr_put_u32(
      header, UInt16(CTA_STATUS.rawValue),
      (IPS_SEEN_REPLY.rawValue | IPS_ASSURED.rawValue | IPS_CONFIRMED.rawValue).bigEndian)
    mnl_attr_put_u32(header, UInt16(CTA_TIMEOUT.rawValue), timeout.bigEndian)
    let information = mnl_attr_nest_start(header, UInt16(CTA_PROTOINFO.rawValue))
    let tcp = mnl_attr_nest_start(header, UInt16(CTA_PROTOINFO_TCP.rawValue))
    mnl_attr_put_u8(header, UInt16(CTA_PROTOINFO_TCP_STATE.rawValue), UInt8(TCP_CONNTRACK_ESTABLISHED.rawValue))
    for (scale, flags) in [
      (CTA_PROTOINFO_TCP_WSCALE_ORIGINAL, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL),
      (CTA_PROTOINFO_TCP_WSCALE_REPLY, CTA_PROTOINFO_TCP_FLAGS_REPLY),
    ] {
      // The largest that there is (RFC 7323): a window that is thought too large does no harm.
      mnl_attr_put_u8(header, UInt16(scale.rawValue), 14)
      let liberal = UInt8(IP_CT_TCP_FLAG_WINDOW_SCALE | IP_CT_TCP_FLAG_BE_LIBERAL)
      var value = nf_ct_tcp_flags(flags: liberal, mask: liberal)
      mnl_attr_put(header, UInt16(flags.rawValue), MemoryLayout<nf_ct_tcp_flags>.size, &value)
    }
    mnl_attr_nest_end(header, tcp)
    mnl_attr_nest_end(header, information)
    buffer.close(header)
  }

  private func put(
    _ header: UnsafeMutablePointer<nlmsghdr>, _ type: ctattr_type, from source: Endpoint, to destination: Endpoint
  ) {
    let tuple = mnl_attr_nest_start(header, UInt16(type.rawValue))
    let addresses = mnl_attr_nest_start(header, UInt16(CTA_TUPLE_IP.rawValue))
    for (end, v4, v6) in [(source, CTA_IP_V4_SRC, CTA_IP_V6_SRC), (destination, CTA_IP_V4_DST, CTA_IP_V6_DST)] {
      let address = end.address
      if address.isIPv6 {
        var bytes = (address.high.bigEndian, address.low.bigEndian)
        mnl_attr_put(header, UInt16(v6.rawValue), 16, &bytes)
      } else {
        mnl_attr_put_u32(header, UInt16(v4.rawValue), UInt32(truncatingIfNeeded: address.high).bigEndian)
      }
    }
    mnl_attr_nest_end(header, addresses)
    let ports = mnl_attr_nest_start(header, UInt16(CTA_TUPLE_PROTO.rawValue))
    mnl_attr_put_u8(header, UInt16(CTA_PROTO_NUM.rawValue), UInt8(IPPROTO_TCP))
    mnl_attr_put_u16(header, UInt16(CTA_PROTO_SRC_PORT.rawValue), source.port.bigEndian)
    mnl_attr_put_u16(header, UInt16(CTA_PROTO_DST_PORT.rawValue), destination.port.bigEndian)
    mnl_attr_nest_end(header, ports)
    mnl_attr_nest_end(header, tuple)
  }

  /// What the administrator has set, or the kernel's own default of five days.
  private static var establishedTimeout: UInt32 {
    let fallback: UInt32 = 432_000
    guard let file = fopen("\(folder)/nf_conntrack_tcp_timeout_established", "re") else { return fallback }
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 16)
    guard fgets(&text, Int32(text.count), file) != nil else { return fallback }
    let seconds = strtoul(text, nil, 10)
    return seconds > 0 ? UInt32(clamping: seconds) : fallback
  }
}
