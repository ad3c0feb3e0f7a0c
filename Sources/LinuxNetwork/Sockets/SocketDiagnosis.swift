internal import CLinux
internal import Glibc
internal import SystemCalls
internal import SystemPackage
internal import TCPModel

/// What the kernel's socket diagnosis says of one TCP socket (sock_diag(7), linux/inet_diag.h), and no socket option does.
struct SocketDiagnosis {
  /// Bytes from copied_seq to rcv_nxt. What lies behind an urgent mark counts here, unlike in SIOCINQ; so does a FIN.
  private(set) var receiveQueue: Int
  /// There are TCP-MD5 keys (RFC 2385).
  private(set) var hasSignatureKeys = false
  /// The upper-layer protocol (TCP_ULP); empty for none.
  private(set) var upperProtocol = ""

  /// - Returns: nil when the kernel finds no such socket in the network namespace of the calling thread.
  init?(_ socket: Int32, flow: Flow) throws(SystemCallError) {
    let netlink = Descriptor(
      owning: try systemCall("socket(NETLINK_SOCK_DIAG)") {
        Glibc.socket(AF_NETLINK, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), Int32(NETLINK_SOCK_DIAG))
      })
    let number = netlink.number
    let question = Self.question(flow, boundInterface: (try? SocketOption.boundInterface.get(socket)) ?? 0)
    try systemCall("sendto(SOCK_DIAG)") { send(number, question, question.count, 0) }
    var answer = [UInt8](repeating: 0, count: 8192)
    let count = try systemCall("recv(SOCK_DIAG)") { recv(number, &answer, answer.count, 0) }
    // struct nlmsghdr (16 bytes), struct inet_diag_msg (72), attributes. The id is at 4, its cookie at its end.
    guard count >= 88, Self.number(answer, 4, UInt16.self) == UInt16(SOCK_DIAG_BY_FAMILY),
      Self.number(answer, 16 + 44, UInt64.self) == (try Self.cookie(socket))
    else { return nil }
    receiveQueue = Int(Self.number(answer, 16 + 56, UInt32.self))
    var offset = 88
    let end = min(count, Int(Self.number(answer, 0, UInt32.self)))
    while offset + 4 <= end {
      let length = Int(Self.number(answer, offset, UInt16.self))
      guard length >= 4, offset + length <= end else { break }
      let value = answer[offset + 4..<offset + length]
      switch Int(Self.number(answer, offset + 2, UInt16.self) & 0x3fff) {
      case Int(INET_DIAG_MD5SIG): hasSignatureKeys = !value.isEmpty
      // Nested: INET_ULP_INFO_NAME comes first.
      case Int(INET_DIAG_ULP_INFO):
        upperProtocol = String(decoding: value.dropFirst(4).prefix { $0 != 0 }, as: UTF8.self)
      default: break
      }
      offset += (length + 3) & ~3
    }
  }

  /// nlmsghdr and inet_diag_req_v2: one socket, by its two ends. IPv4 inside IPv6 is found as IPv4.
  private static func question(_ flow: Flow, boundInterface: Int32) -> [UInt8] {
    var message = [UInt8](repeating: 0, count: 72)
    func put<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
      withUnsafeBytes(of: number) { message.replaceSubrange(offset..<offset + $0.count, with: $0) }
    }
    put(UInt32(message.count), at: 0)
    put(UInt16(SOCK_DIAG_BY_FAMILY), at: 4)
    put(UInt16(NLM_F_REQUEST), at: 6)
    message[16] = UInt8(flow.local.address.isIPv6 ? AF_INET6 : AF_INET)
    message[17] = UInt8(IPPROTO_TCP)
    // Keys and upper-layer protocols come with TCP_INFO alone (inet_sk_diag_fill).
    message[18] = 1 << UInt8(INET_DIAG_INFO - 1)
    put(UInt32.max, at: 20)
    put(flow.local.port.bigEndian, at: 24)
    put(flow.peer.port.bigEndian, at: 26)
    let (local, peer) = (flow.local.address.bytes, flow.peer.address.bytes)
    message.replaceSubrange(28..<28 + local.count, with: local)
    message.replaceSubrange(44..<44 + peer.count, with: peer)
    put(boundInterface, at: 60)
    // INET_DIAG_NOCOOKIE
    put(UInt64.max, at: 64)
    return message
  }

  private static func cookie(_ socket: Int32) throws(SystemCallError) -> UInt64 {
    var cookie: UInt64 = 0
    var length = socklen_t(MemoryLayout<UInt64>.size)
    try systemCall("getsockopt(SO_COOKIE)") { getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &length) }
    return cookie
  }

  private static func number<Number: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int, _: Number.Type) -> Number {
    bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
  }
}
