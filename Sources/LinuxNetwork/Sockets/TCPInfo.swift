internal import CLinux
internal import Glibc
public import SystemCalls
internal import SystemPackage

/// The state of a TCP socket, as the kernel numbers it (net/tcp_states.h).
public enum TCPState: UInt8, Sendable {
  case established = 1
  case synSent, synReceived, finWait1, finWait2, timeWait, close, closeWait, lastAck, listen, closing, newSynReceived

  /// The peer's FIN has arrived.
  public var hasReceivedFin: Bool {
    switch self {
    case .closeWait, .lastAck, .closing, .timeWait: true
    default: false
    }
  }

  /// Our FIN has been sent, or waits behind data.
  public var hasSentFin: Bool {
    switch self {
    case .finWait1, .finWait2, .lastAck, .closing, .timeWait: true
    default: false
    }
  }
}

extension TCPState: CustomStringConvertible {
  /// As ss(8) and the kernel call it.
  public var description: String {
    switch self {
    case .established: "ESTABLISHED"
    case .synSent: "SYN_SENT"
    case .synReceived, .newSynReceived: "SYN_RECV"
    case .finWait1: "FIN_WAIT1"
    case .finWait2: "FIN_WAIT2"
    case .timeWait: "TIME_WAIT"
    case .close: "CLOSE"
    case .closeWait: "CLOSE_WAIT"
    case .lastAck: "LAST_ACK"
    case .listen: "LISTEN"
    case .closing: "CLOSING"
    }
  }
}

/// One consistent look at a socket (getsockopt TCP_INFO): does not disturb it.
public struct TCPInfo: Sendable {
  public let state: TCPState
  /// Bytes (and a FIN) received in order since the socket was made or restored.
  public let bytesReceived: UInt64
  /// Bytes (and a FIN) that the peer has acknowledged since the socket was made or restored.
  public let bytesAcknowledged: UInt64
  /// Bytes that wait to be sent for the first time; a FIN that waits counts.
  public let unsentBytes: UInt32
  /// The peer's window, bytes, scaled.
  public let sendWindow: UInt32
  /// Our window, bytes (since Linux 6.2; 0 before).
  public let receiveWindow: UInt32
  public let sendWindowScale: UInt8
  public let receiveWindowScale: UInt8
  public let hasTimestamps: Bool
  public let hasMicroseconds: Bool
  public let hasSelectiveAcknowledgements: Bool
  public let hasWindowScaling: Bool

  public init(_ socket: Int32) throws(SystemCallError) {
    var info = hf_tcp_info()
    var length = socklen_t(MemoryLayout<hf_tcp_info>.size)
    try systemCall("getsockopt(TCP_INFO)") { getsockopt(socket, Int32(IPPROTO_TCP), TCP_INFO, &info, &length) }
    state = TCPState(rawValue: info.state) ?? .close
    bytesReceived = info.bytes_received
    bytesAcknowledged = info.bytes_acked
    unsentBytes = info.notsent_bytes
    sendWindow = info.snd_wnd
    receiveWindow = info.rcv_wnd
    sendWindowScale = info.wscales & 0x0f
    receiveWindowScale = info.wscales >> 4
    // TCPI_OPT_TIMESTAMPS, _SACK, _WSCALE.
    hasTimestamps = info.options & 1 != 0
    hasSelectiveAcknowledgements = info.options & 2 != 0
    hasWindowScaling = info.options & 4 != 0
    hasMicroseconds = info.options & UInt8(HF_TCPI_OPT_USEC_TS) != 0
  }
}

/// How full a socket's queues are (tcp(7), ioctls).
public enum SocketQueues {
  /// Bytes that can be read; a FIN does not count, and bytes behind an urgent mark do not show.
  public static func unread(_ socket: Int32) throws(SystemCallError) -> Int {
    try ioctl(socket, UInt(HF_SIOCINQ), "ioctl(SIOCINQ)")
  }

  /// Bytes from snd_una to write_seq; a queued FIN counts.
  public static func unacknowledged(_ socket: Int32) throws(SystemCallError) -> Int {
    try ioctl(socket, UInt(HF_SIOCOUTQ), "ioctl(SIOCOUTQ)")
  }

  /// Bytes from snd_nxt to write_seq; a queued FIN counts.
  public static func unsent(_ socket: Int32) throws(SystemCallError) -> Int {
    try ioctl(socket, UInt(HF_SIOCOUTQNSD), "ioctl(SIOCOUTQNSD)")
  }

  /// The first `count` unread bytes, or as many as there are; they stay where they are.
  public static func peek(_ socket: Int32, count: Int) throws(SystemCallError) -> [UInt8] {
    guard count > 0 else { return [] }
    var bytes = [UInt8](repeating: 0, count: count)
    let read = try nonblockingCall("recv(MSG_PEEK)") {
      recv(socket, &bytes, count, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
    }
    return Array(bytes.prefix(read ?? 0))
  }

  private static func ioctl(_ socket: Int32, _ request: UInt, _ name: String) throws(SystemCallError) -> Int {
    var value: Int32 = 0
    try systemCall(name) { hf_ioctl_int(socket, request, &value) }
    return Int(value)
  }
}
