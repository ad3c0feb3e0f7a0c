internal import CLinux
internal import Glibc
internal import SystemCalls
internal import SystemPackage
internal import TCPModel

/// TCP sockets of the calling thread's network namespace that have a local address, whoever holds them (sock_diag(7)).
struct SocketSearch: ~Copyable {
  /// One socket as the kernel names it.
  struct Entry {
    let flow: Flow
    let state: TCPState
    /// AF_INET or AF_INET6: an IPv4 connection of an IPv6 socket is AF_INET6.
    fileprivate let family: UInt8
    /// struct inet_diag_sockid. Its cookie is no other socket's.
    fileprivate let identity: [UInt8]
  }

  private let netlink: Descriptor

  init() throws(SystemCallError) {
    netlink = Descriptor(
      owning: try systemCall("socket(NETLINK_SOCK_DIAG)") {
        Glibc.socket(AF_NETLINK, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), Int32(NETLINK_SOCK_DIAG))
      })
  }

  /// All sockets with that local address that do not listen.
  func connections(at address: IPAddress) throws(SystemCallError) -> [Entry] {
    var found: [Entry] = []
    for family in address.isIPv6 ? [AF_INET6] : [AF_INET, AF_INET6] {
      try send(
        Self.request(
          type: UInt16(SOCK_DIAG_BY_FAMILY), flags: UInt16(NLM_F_ROOT | NLM_F_MATCH), family: UInt8(family),
          identity: [UInt8](repeating: 0, count: 48)) + Self.filter(address))
      try receive { found.append($0) }
    }
    return found
  }

  /// Ends a socket as `ss --kill` does: its application sees ECONNABORTED, its peer a reset if one is due. A socket that has
  /// ended meanwhile is no error.
  func destroy(_ entry: Entry) throws(SystemCallError) {
    try send(
      Self.request(
        type: UInt16(HF_SOCK_DESTROY), flags: UInt16(NLM_F_ACK), family: entry.family, identity: entry.identity))
    do {
      try receive { _ in }
    } catch  where error.errno == .noSuchFileOrDirectory {
      return
    }
  }

  private func send(_ request: [UInt8]) throws(SystemCallError) {
    var message = request
    withUnsafeBytes(of: UInt32(message.count)) { message.replaceSubrange(0..<4, with: $0) }
    let number = netlink.number
    try systemCall("sendto(SOCK_DIAG)") { Glibc.send(number, message, message.count, 0) }
  }

  /// Reads to the end of an answer.
  private func receive(_ body: (Entry) -> Void) throws(SystemCallError) {
    let number = netlink.number
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = try systemCall("recv(SOCK_DIAG)") { recv(number, &buffer, buffer.count, 0) }
      var offset = 0
      while offset + 16 <= count {
        let length = Int(Self.number(buffer, offset, UInt32.self))
        guard length >= 16, offset + length <= count else { return }
        switch Int32(Self.number(buffer, offset + 4, UInt16.self)) {
        case NLMSG_DONE: return
        case NLMSG_ERROR:
          let code = length >= 20 ? Self.number(buffer, offset + 16, Int32.self) : 0
          guard code != 0 else { return }
          throw SystemCallError("SOCK_DIAG", errno: Errno(rawValue: -code))
        default:
          if length >= 16 + 72, let entry = Self.entry(buffer[offset + 16..<offset + 88]) { body(entry) }
        }
        offset += (length + 3) & ~3
      }
    }
  }

  /// nlmsghdr (16), inet_diag_req_v2 (8 and the identity).
  private static func request(type: UInt16, flags: UInt16, family: UInt8, identity: [UInt8]) -> [UInt8] {
    var message = [UInt8](repeating: 0, count: 24)
    withUnsafeBytes(of: type) { message.replaceSubrange(4..<6, with: $0) }
    withUnsafeBytes(of: UInt16(NLM_F_REQUEST) | flags) { message.replaceSubrange(6..<8, with: $0) }
    message[16] = family
    message[17] = UInt8(IPPROTO_TCP)
    withUnsafeBytes(of: ~(UInt32(1) << UInt32(TCPState.listen.rawValue))) { message.replaceSubrange(20..<24, with: $0) }
    return message + identity
  }

  /// The attribute INET_DIAG_REQ_BYTECODE with one condition: the local address.
  private static func filter(_ address: IPAddress) -> [UInt8] {
    let bytes = address.bytes
    // inet_diag_hostcond: family, prefix length, two bytes of nothing, port (-1 for any), address.
    let condition =
      [UInt8(address.isIPv6 ? AF_INET6 : AF_INET), UInt8(bytes.count * 8), 0, 0, 0xff, 0xff, 0xff, 0xff] + bytes
    let length = UInt8(4 + condition.count)
    // inet_diag_bc_op: what it is, how far to go on if it holds, and if not: beyond the end, which is a no.
    let code = [UInt8(HF_INET_DIAG_BC_S_COND), length, length + 4, 0] + condition
    return [UInt8(4 + code.count), 0, UInt8(INET_DIAG_REQ_BYTECODE), 0] + code
  }

  /// struct inet_diag_msg: family, state, timer, retransmissions, then struct inet_diag_sockid.
  private static func entry(_ message: ArraySlice<UInt8>) -> Entry? {
    let bytes = Array(message)
    let family = bytes[0]
    func address(at offset: Int) -> IPAddress? {
      let all = bytes[offset..<offset + 16]
      guard family == UInt8(AF_INET6) else { return IPAddress(bytes: all.prefix(4)) }
      let isMapped = all.prefix(12).elementsEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
      return IPAddress(bytes: isMapped ? all.suffix(4) : all)
    }
    guard let local = address(at: 8), let peer = address(at: 24), let state = TCPState(rawValue: bytes[1]) else {
      return nil
    }
    let (localPort, peerPort) = (number(bytes, 4, UInt16.self).bigEndian, number(bytes, 6, UInt16.self).bigEndian)
    return Entry(
      flow: Flow(local: Endpoint(address: local, port: localPort), peer: Endpoint(address: peer, port: peerPort)),
      state: state, family: family, identity: Array(bytes[4..<52]))
  }

  private static func number<Number: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int, _: Number.Type) -> Number {
    bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
  }
}
