internal import CLinux
internal import CNetfilter

/// The handles that the kernel gave to the packet table and all that is in it. A thing that was taken out and put in again has
/// another one.
struct TableNumbers: Equatable {
  private(set) var table: UInt64?
  /// Of the table: `TableFlags`.
  private(set) var flags: UInt32 = 0
  /// The port of the socket that owns the table; nil for none.
  private(set) var owner: UInt32?
  private var chains: [String: UInt64] = [:]
  private var sets: [String: UInt64] = [:]
  private var rules: [String: Set<UInt64>] = [:]
  /// The rules that make a pair mute, by chain.
  private var muteRules: [String: Set<UInt64>] = [:]

  /// The names of the sets.
  var setNames: some Sequence<String> { sets.keys }

  /// The rules of a chain that make its pair mute, and that are about to go.
  mutating func takeMuteRules(of chain: [CChar]) -> Set<UInt64> {
    muteRules.removeValue(forKey: TableNames.text(chain)) ?? []
  }

  /// Takes in one message about something that is there, NFT_MSG_NEW…; those about other tables are none of ours.
  mutating func take(_ answer: NetlinkAnswer) {
    guard answer.type >> 8 == UInt16(NFNL_SUBSYS_NFTABLES), answer.family == PacketTable.family else { return }
    let attributes = answer.attributes
    // The first attribute of each of them is the table's name: NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE.
    guard attributes.text(1) == PacketTable.name else { return }
    switch UInt32(answer.type & 0xff) {
    case NFT_MSG_NEWTABLE.rawValue:
      table = attributes.number(Int(NFTA_TABLE_HANDLE.rawValue), as: UInt64.self)
      flags = attributes.number(Int(NFTA_TABLE_FLAGS.rawValue), as: UInt32.self) ?? 0
      owner = attributes.number(Int(NFTA_TABLE_OWNER.rawValue), as: UInt32.self)
    case NFT_MSG_NEWCHAIN.rawValue:
      guard let name = attributes.text(Int(NFTA_CHAIN_NAME.rawValue)) else { return }
      chains[name] = attributes.number(Int(NFTA_CHAIN_HANDLE.rawValue), as: UInt64.self)
    case NFT_MSG_NEWSET.rawValue:
      guard let name = attributes.text(Int(NFTA_SET_NAME.rawValue)) else { return }
      sets[name] = attributes.number(Int(NFTA_SET_HANDLE.rawValue), as: UInt64.self)
    case NFT_MSG_NEWRULE.rawValue:
      guard let chain = attributes.text(Int(NFTA_RULE_CHAIN.rawValue)),
        let handle = attributes.number(Int(NFTA_RULE_HANDLE.rawValue), as: UInt64.self)
      else { return }
      // Nothing else of ours has a comment.
      if attributes[Int(NFTA_RULE_USERDATA.rawValue)] != nil {
        muteRules[chain, default: []].insert(handle)
      } else {
        rules[chain, default: []].insert(handle)
      }
    default: break
    }
  }
}

/// Flags of a table (enum nft_table_flags).
enum TableFlags {
  /// NFT_TABLE_F_OWNER: nobody but the socket that made the table changes or removes it while that socket is open (Linux 5.12).
  static let owner: UInt32 = 2
  /// NFT_TABLE_F_PERSIST: the table stays when its owner is gone, without one, and may be adopted (Linux 6.9).
  static let persist: UInt32 = 4
}
