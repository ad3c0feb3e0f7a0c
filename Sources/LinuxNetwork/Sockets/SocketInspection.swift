internal import CLinux
internal import Glibc
internal import SystemCalls
internal import SystemPackage
public import TCPModel

/// Why a socket cannot be protected, and what to do about it.
public struct UnsupportedSocket: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// What can be learnt of a socket without disturbing it.
public enum SocketInspection {
  /// Whether a connection can be protected, as far as a look tells; what only repair mode tells comes with the snapshot.
  public static func validate(_ socket: Int32) throws(UnsupportedSocket) {
    guard let domain = try? SocketOption.domain.get(socket) else { throw UnsupportedSocket("it is not a socket") }
    guard domain == AF_INET || domain == AF_INET6 else {
      throw UnsupportedSocket("it is neither an IPv4 nor an IPv6 socket")
    }
    let transport = try? SocketOption.protocolNumber.get(socket)
    if transport == Int32(HF_IPPROTO_MPTCP) {
      throw UnsupportedSocket("it uses Multipath TCP: open it as plain TCP (IPPROTO_TCP)")
    }
    guard let type = try? SocketOption.type.get(socket), type == Int32(SOCK_STREAM.rawValue),
      transport == Int32(IPPROTO_TCP)
    else { throw UnsupportedSocket("it is not a TCP socket") }
    guard let info = try? TCPInfo(socket) else { throw UnsupportedSocket("its TCP state cannot be read") }
    switch info.state {
    case .established, .closeWait, .finWait1, .finWait2: break
    case .listen: throw UnsupportedSocket("it is listening: register the sockets that accept returns")
    case .synSent, .synReceived, .newSynReceived: throw UnsupportedSocket("it is still connecting")
    case .close: throw UnsupportedSocket("it is not connected")
    case .closing, .lastAck, .timeWait:
      throw UnsupportedSocket("both sides have closed it already (\(info.state))")
    }
    if (try? SocketOption.repair.get(socket)) == 1 {
      throw UnsupportedSocket("it is in repair mode (TCP_REPAIR): another program moves it")
    }
    if let name = upperProtocol(socket) {
      throw UnsupportedSocket("it has the upper-layer protocol \"\(name)\" (TCP_ULP): kernel TLS state cannot be moved")
    }
    if hasAuthentication(socket) {
      throw UnsupportedSocket("its segments are signed (TCP-AO): the keys cannot be moved")
    }
    try diagnose(socket, info)
  }

  /// What would make a restored socket say something wrong, or nothing, without anybody noticing before.
  private static func diagnose(_ socket: Int32, _ info: TCPInfo) throws(UnsupportedSocket) {
    let flow = try flow(socket).flow
    if flow.peer.address.isLinkLocal {
      throw UnsupportedSocket(
        "its peer's address \(flow.peer.address) holds on one interface of this host alone (link-local): connect to the "
          + "service address from a global or unique local address")
    }
    let diagnosis: SocketDiagnosis?
    do throws(SystemCallError) {
      diagnosis = try SocketDiagnosis(socket, flow: flow)
    } catch {
      throw UnsupportedSocket("it cannot be examined (sock_diag(7)): \(error)")
    }
    guard let diagnosis else {
      throw UnsupportedSocket(
        "the daemon does not find it in its own network namespace (sock_diag(7)): in another one its packets would not be seen"
      )
    }
    if diagnosis.hasSignatureKeys {
      throw UnsupportedSocket("its segments are signed (TCP_MD5SIG): the keys cannot be moved")
    }
    let unread = (try? SocketQueues.unread(socket)) ?? 0
    // Input that comes between the two reads is more, not less.
    if diagnosis.receiveQueue - (info.state.hasReceivedFin ? 1 : 0) > unread {
      throw UnsupportedSocket("urgent data (MSG_OOB) waits in it: read it first")
    }
  }

  /// Whether there are TCP-AO keys (RFC 5925); the call fails with ENOENT when there are none, ENOPROTOOPT where the kernel
  /// knows nothing of them.
  private static func hasAuthentication(_ socket: Int32) -> Bool {
    var information = [UInt8](repeating: 0, count: 128)
    var length = socklen_t(information.count)
    return getsockopt(socket, Int32(IPPROTO_TCP), Int32(HF_TCP_AO_INFO), &information, &length) == 0
  }

  /// The name of the upper-layer protocol (TCP_ULP), nil for none.
  private static func upperProtocol(_ socket: Int32) -> String? {
    var name = [UInt8](repeating: 0, count: 16)
    var length = socklen_t(name.count)
    guard getsockopt(socket, Int32(IPPROTO_TCP), Int32(HF_TCP_ULP), &name, &length) == 0 else { return nil }
    let text = String(decoding: name.prefix(Int(length)).prefix { $0 != 0 }, as: UTF8.self)
    return text.isEmpty ? nil : text
  }

  /// The two ends, IPv4 inside IPv6 unmapped, and whether it was mapped.
  public static func flow(_ socket: Int32) throws(UnsupportedSocket) -> (flow: Flow, isMapped: Bool) {
    guard let local = try? SocketAddress.local(of: socket), let peer = try? SocketAddress.peer(of: socket) else {
      throw UnsupportedSocket("it is not connected")
    }
    let isMapped = local.address.isIPv6 && !local.address.unmapped.isIPv6
    return (
      Flow(
        local: Endpoint(address: local.address.unmapped, port: local.port),
        peer: Endpoint(address: peer.address.unmapped, port: peer.port)), isMapped
    )
  }
}

extension IPAddress {
  /// fe80::/10 (RFC 4291 section 2.5.6): means something together with an interface only.
  var isLinkLocal: Bool { isIPv6 && high >> 54 == 0xfe80 >> 6 }
}
