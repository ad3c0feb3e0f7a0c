internal import CLinux
internal import CNetfilter
internal import Glibc

/// What a transaction on the packet table consists of. Each message about something that gets a number from the kernel asks for it
/// (NLM_F_ECHO): the numbers tell later whether it is still the same.
extension TableBatch {
  /// - Parameter flags: of the table, `TableFlags`.
  mutating func newTable(flags: UInt32) {
    let table = nftnl_table_alloc()
    defer { nftnl_table_free(table) }
    nftnl_table_set_str(table, UInt16(NFTNL_TABLE_NAME.rawValue), PacketTable.name)
    nftnl_table_set_u32(table, UInt16(NFTNL_TABLE_FLAGS.rawValue), flags)
    add(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO) { nftnl_table_nlmsg_build_payload($0, table) }
  }

  /// The table with all that is in it.
  mutating func deleteTable() {
    add(NFT_MSG_DELTABLE, 0) { mnl_attr_put_strz($0, UInt16(NFTA_TABLE_NAME.rawValue), PacketTable.name) }
  }

  mutating func newChain(_ name: [CChar], hook: nf_inet_hooks) {
    let chain = nftnl_chain_alloc()
    defer { nftnl_chain_free(chain) }
    nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TABLE.rawValue), PacketTable.name)
    nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_NAME.rawValue), name)
    nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TYPE.rawValue), "filter")
    nftnl_chain_set_u32(chain, UInt16(NFTNL_CHAIN_HOOKNUM.rawValue), hook.rawValue)
    nftnl_chain_set_s32(chain, UInt16(NFTNL_CHAIN_PRIO.rawValue), PacketTable.priority)
    nftnl_chain_set_u32(chain, UInt16(NFTNL_CHAIN_POLICY.rawValue), UInt32(NF_ACCEPT))
    add(NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO) { nftnl_chain_nlmsg_build_payload($0, chain) }
  }

  mutating func newSet(_ name: [CChar], number: UInt32, isIPv6: Bool) {
    let set = nftnl_set_alloc()
    defer { nftnl_set_free(set) }
    nftnl_set_set_str(set, UInt16(NFTNL_SET_TABLE.rawValue), PacketTable.name)
    nftnl_set_set_str(set, UInt16(NFTNL_SET_NAME.rawValue), name)
    nftnl_set_set_u32(set, UInt16(NFTNL_SET_ID.rawValue), number)
    // How nft(8) writes `ipv4_addr . inet_service . ipv4_addr . inet_service`: six bits for each type (datatype.h of nftables).
    let (address, service): (UInt32, UInt32) = (isIPv6 ? 8 : 7, 13)
    let end = address << 6 | service
    nftnl_set_set_u32(set, UInt16(NFTNL_SET_KEY_TYPE.rawValue), end << 12 | end)
    nftnl_set_set_u32(
      set, UInt16(NFTNL_SET_KEY_LEN.rawValue), UInt32(isIPv6 ? FlowKey.sizes.v6 : FlowKey.sizes.v4))
    add(NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO) { nftnl_set_nlmsg_build_payload($0, set) }
  }

  /// - Parameter isFirst: it comes before the rules that the chain has; else behind them.
  mutating func newRule(_ rule: borrowing TableRule, isFirst: Bool = false) {
    add(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_ECHO | (isFirst ? 0 : NLM_F_APPEND)) { rule.build(into: $0) }
  }

  mutating func deleteRule(_ handle: UInt64, of chain: [CChar]) {
    add(NFT_MSG_DELRULE, 0) {
      mnl_attr_put_strz($0, UInt16(NFTA_RULE_TABLE.rawValue), PacketTable.name)
      mnl_attr_put_strz($0, UInt16(NFTA_RULE_CHAIN.rawValue), chain)
      mnl_attr_put_u64($0, UInt16(NFTA_RULE_HANDLE.rawValue), handle.bigEndian)
    }
  }
}
