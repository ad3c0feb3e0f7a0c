internal import CLinux
internal import CNetfilter
internal import Glibc
internal import SystemCalls
public import SystemPackage

/// Why the packet table is not what it should be: what was to be done, which message the kernel refused, and why.
public struct PacketTableError: Error, Hashable, Sendable {
  /// What was to be done: `cannot replace the packet table`.
  public let action: String
  /// The nf_tables message or the call that failed: `NFT_MSG_NEWRULE`.
  public let message: String
  public let errno: Errno
  /// The table belongs to a socket of another process.
  var isForeign = false

  init(_ action: String, _ message: String, _ errno: Errno) {
    self.action = action
    self.message = message
    self.errno = errno
  }

  init(_ action: String, type: UInt16, _ errno: Errno) {
    self.init(action, Self.name(of: type), errno)
  }

  init(_ action: String, _ failure: SystemCallError) {
    self.init(action, failure.call, failure.errno)
  }

  /// What was to be changed is not there.
  var isAbsence: Bool { errno == .noSuchFileOrDirectory }

  private static func name(of type: UInt16) -> String {
    guard type >> 8 == UInt16(NFNL_SUBSYS_NFTABLES) else { return "transaction" }
    return switch UInt32(type & 0xff) {
    case NFT_MSG_NEWTABLE.rawValue: "NFT_MSG_NEWTABLE"
    case NFT_MSG_GETTABLE.rawValue: "NFT_MSG_GETTABLE"
    case NFT_MSG_DELTABLE.rawValue: "NFT_MSG_DELTABLE"
    case NFT_MSG_NEWCHAIN.rawValue: "NFT_MSG_NEWCHAIN"
    case NFT_MSG_GETCHAIN.rawValue: "NFT_MSG_GETCHAIN"
    case NFT_MSG_NEWRULE.rawValue: "NFT_MSG_NEWRULE"
    case NFT_MSG_GETRULE.rawValue: "NFT_MSG_GETRULE"
    case NFT_MSG_DELRULE.rawValue: "NFT_MSG_DELRULE"
    case NFT_MSG_NEWSET.rawValue: "NFT_MSG_NEWSET"
    case NFT_MSG_GETSET.rawValue: "NFT_MSG_GETSET"
    case NFT_MSG_NEWSETELEM.rawValue: "NFT_MSG_NEWSETELEM"
    case NFT_MSG_GETSETELEM.rawValue: "NFT_MSG_GETSETELEM"
    case NFT_MSG_DELSETELEM.rawValue: "NFT_MSG_DELSETELEM"
    case NFT_MSG_GETGEN.rawValue: "NFT_MSG_GETGEN"
    default: "nf_tables message \(type & 0xff)"
    }
  }
}

extension PacketTableError: CustomStringConvertible {
  public var description: String { "\(action): \(message): \(errno)\(advice)" }

  private var advice: String {
    if isForeign { return " (another process owns the table \"\(PacketTable.name)\": a second holdfastd?)" }
    switch errno {
    case .notPermitted:
      return " (missing capability CAP_NET_ADMIN: start holdfastd through its systemd unit, or as root)"
    case .notSupported, .noSuchFileOrDirectory, .protocolNotSupported:
      return " (the kernel needs the modules nf_tables, nfnetlink_queue, and nft_queue or nft_compat with xt_NFQUEUE)"
    case .noMemory, .noBufferSpace: return " (no memory in the kernel)"
    default: return ""
    }
  }
}
