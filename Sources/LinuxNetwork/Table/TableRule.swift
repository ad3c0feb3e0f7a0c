internal import CLinux
internal import CNetfilter
internal import Glibc

/// One rule of the packet table as it is put together: expressions that work on registers (nft(8), libnftnl).
struct TableRule: ~Copyable {
  private let rule: OpaquePointer?

  /// An empty rule of a chain.
  init(chain: [CChar]) {
    rule = nftnl_rule_alloc()
    nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_TABLE.rawValue), PacketTable.name)
    nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_CHAIN.rawValue), chain)
  }

  deinit { nftnl_rule_free(rule) }

  func build(into message: UnsafeMutablePointer<nlmsghdr>) { nftnl_rule_nlmsg_build_payload(message, rule) }

  /// The packets of one family's flows, and what becomes of them.
  /// - Parameters:
  ///   - arriving: the packet's destination is the flow's local end; else its source is.
  ///   - set: the set of the flows, and its number when it is made in the same transaction.
  static func flows(
    chain: [CChar], arriving: Bool, isIPv6: Bool, set: (name: [CChar], number: UInt32?), verdict: Verdict
  ) -> TableRule {
    let rule = TableRule(chain: chain)
    rule.require(NFT_META_NFPROTO, UInt8(isIPv6 ? NFPROTO_IPV6 : NFPROTO_IPV4))
    rule.require(NFT_META_L4PROTO, UInt8(IPPROTO_TCP))
    // A peer on the same host, and what a takeover says to its own sockets.
    rule.require(arriving ? NFT_META_IIF : NFT_META_OIF, UInt32(1), NFT_CMP_NEQ)
    rule.loadFlow(arriving: arriving, isIPv6: isIPv6)
    rule.add("lookup") {
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_SREG), NFT_REG32_00.rawValue)
      nftnl_expr_set_str($0, UInt16(NFTNL_EXPR_LOOKUP_SET), set.name)
      if let number = set.number { nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_SET_ID), number) }
    }
    rule.add("counter") { _ in }
    rule.add(verdict)
    if case .drop = verdict { rule.comment("mute") }
    return rule
  }

  /// A packet that leaves through a VRF passes the hook twice, first towards the VRF's own device (vrf_ip_out of
  /// drivers/net/vrf.c): it is taken once, on its way to the device behind it.
  static func passTowardsVRF(chain: [CChar]) -> TableRule {
    let rule = TableRule(chain: chain)
    // IFNAMSIZ bytes; a device without a kind, as a network card, ends the rule here (NFT_BREAK).
    var kind: (UInt64, UInt64) = (0, 0)
    withUnsafeMutableBytes(of: &kind) { $0.copyBytes(from: "vrf".utf8) }
    rule.load(NFT_META_OIFKIND)
    withUnsafeBytes(of: kind) { rule.compare($0, NFT_CMP_EQ) }
    rule.add(.accept)
    return rule
  }

  /// What a rule does with a packet.
  enum Verdict {
    case accept
    case drop
    case queue(UInt16, Handover)
  }

  /// What nft(8) shows at the end of the rule: type 0 of a rule's user data, length, text (libnftnl's udata.h).
  private func comment(_ text: StaticString) {
    let bytes = text.withUTF8Buffer { [0, UInt8($0.count + 1)] + Array($0) + [0] }
    nftnl_rule_set_data(rule, UInt16(NFTNL_RULE_USERDATA.rawValue), bytes, UInt32(bytes.count))
  }

  // MARK: Expressions

  private func add(_ kind: String, _ set: (OpaquePointer?) -> Void) {
    let expression = nftnl_expr_alloc(kind)
    set(expression)
    // The rule owns it from here.
    nftnl_rule_add_expr(rule, expression)
  }

  private func load(_ key: nft_meta_keys) {
    add("meta") {
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_KEY), key.rawValue)
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_DREG), NFT_REG_1.rawValue)
    }
  }

  private func compare(_ bytes: UnsafeRawBufferPointer, _ operation: nft_cmp_ops) {
    add("cmp") {
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CMP_SREG), NFT_REG_1.rawValue)
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CMP_OP), operation.rawValue)
      nftnl_expr_set($0, UInt16(NFTNL_EXPR_CMP_DATA), bytes.baseAddress, UInt32(bytes.count))
    }
  }

  private func require<Number: FixedWidthInteger>(
    _ key: nft_meta_keys, _ number: Number, _ operation: nft_cmp_ops = NFT_CMP_EQ
  ) {
    load(key)
    withUnsafeBytes(of: number) { compare($0, operation) }
  }

  /// Into consecutive registers of four bytes, as `FlowKey` lays it out. The transport header is found behind IPv6 extension headers
  /// and IPv4 options.
  private func loadFlow(arriving: Bool, isIPv6: Bool) {
    let (source, destination, length): (UInt32, UInt32, UInt32) = isIPv6 ? (8, 24, 16) : (12, 16, 4)
    let (local, peer) = arriving ? (destination, source) : (source, destination)
    let (localPort, peerPort): (UInt32, UInt32) = arriving ? (2, 0) : (0, 2)
    let half = length / 4 + 1
    load(NFT_PAYLOAD_NETWORK_HEADER, local, length, register: 0)
    load(NFT_PAYLOAD_TRANSPORT_HEADER, localPort, 2, register: half - 1)
    load(NFT_PAYLOAD_NETWORK_HEADER, peer, length, register: half)
    load(NFT_PAYLOAD_TRANSPORT_HEADER, peerPort, 2, register: 2 * half - 1)
  }

  private func load(_ base: nft_payload_bases, _ offset: UInt32, _ length: UInt32, register: UInt32) {
    add("payload") {
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_BASE), base.rawValue)
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_OFFSET), offset)
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_LEN), length)
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_DREG), NFT_REG32_00.rawValue + register)
    }
  }

  private func add(_ verdict: Verdict) {
    switch verdict {
    case .accept: decide(NF_ACCEPT)
    case .drop: decide(NF_DROP)
    // Neither with bypass: a queue without a reader drops.
    case .queue(let number, .queue):
      add("queue") {
        nftnl_expr_set_u16($0, UInt16(NFTNL_EXPR_QUEUE_NUM), number)
        nftnl_expr_set_u16($0, UInt16(NFTNL_EXPR_QUEUE_TOTAL), 1)
        nftnl_expr_set_u16($0, UInt16(NFTNL_EXPR_QUEUE_FLAGS), 0)
      }
    case .queue(let number, .target):
      add("target") {
        nftnl_expr_set_str($0, UInt16(NFTNL_EXPR_TG_NAME), "NFQUEUE")
        nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_TG_REV), 3)
        // XT_ALIGN: a multiple of eight bytes; libnftnl frees it.
        let size = (MemoryLayout<xt_NFQ_info_v3>.size + 7) & ~7
        guard let information = calloc(1, size) else { return }
        information.assumingMemoryBound(to: xt_NFQ_info_v3.self).pointee = xt_NFQ_info_v3(
          queuenum: number, queues_total: 1, flags: 0)
        nftnl_expr_set($0, UInt16(NFTNL_EXPR_TG_INFO), information, UInt32(size))
      }
    }
  }

  private func decide(_ verdict: Int32) {
    add("immediate") {
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_DREG), NFT_REG_VERDICT.rawValue)
      nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_VERDICT), UInt32(bitPattern: verdict))
    }
  }
}
