internal import CLinux
internal import CNetfilter
internal import Glibc
internal import SystemCalls
internal import SystemPackage

/// Hears what others do to the nf_tables ruleset (group NFNLGRP_NFTABLES). What one socket of ours does is filtered in the kernel,
/// so that it wakes nobody.
struct TableWatch {
  private let socket: NetfilterSocket

  /// - Parameter own: the port of the socket whose transactions are not to be heard.
  init(ignoring own: UInt32) throws(SystemCallError) {
    socket = try NetfilterSocket()
    // nlmsg_pid is at byte 12 of a message; all messages of a datagram are of one transaction. A filter reads numbers in network
    // order.
    var program = [
      sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: 12),
      sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: 0, jf: 1, k: own.bigEndian),
      sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: 0),
      sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: UInt32.max),
    ]
    let number = socket.number
    var attached: Result<Void, SystemCallError> = .success(())
    program.withUnsafeMutableBufferPointer { filters in
      var filter = sock_fprog(len: UInt16(filters.count), filter: filters.baseAddress)
      do throws(SystemCallError) {
        try systemCall("setsockopt(SO_ATTACH_FILTER)") {
          setsockopt(number, SOL_SOCKET, SO_ATTACH_FILTER, &filter, socklen_t(MemoryLayout<sock_fprog>.size))
        }
      } catch {
        attached = .failure(error)
      }
    }
    try attached.get()
    try socket.set(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, Int32(NFNLGRP_NFTABLES.rawValue), "NETLINK_ADD_MEMBERSHIP")
  }

  /// Readable when others have changed something.
  var descriptor: Int32 { socket.number }

  /// Takes in what has come.
  func takeChanges() -> TableChange {
    var change = TableChange.none
    // Others may go on meanwhile: what is left is readable still.
    for _ in 0..<1000 {
      let reception = try? socket.receive { answer in
        guard change == .none, answer.type >> 8 == UInt16(NFNL_SUBSYS_NFTABLES),
          answer.type & 0xff != UInt16(NFT_MSG_NEWGEN.rawValue), answer.family == PacketTable.family,
          // In messages about tables and all that is in them the first attribute is the table's name.
          answer.attributes.text(1) == PacketTable.name
        else { return }
        change = .touched
      }
      switch reception {
      case .messages: continue
      case .overrun, nil: change = .overrun
      case .nothing: return change
      }
    }
    return change
  }
}
