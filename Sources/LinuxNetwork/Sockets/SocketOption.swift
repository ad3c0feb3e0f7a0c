internal import CLinux
internal import Glibc
internal import SystemCalls
internal import SystemPackage

/// A socket option that is one 32-bit number, with the name that an error shows.
struct SocketOption: Sendable {
  let level: Int32
  let number: Int32
  let name: String

  func get(_ socket: Int32) throws(SystemCallError) -> Int32 {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    try systemCall("getsockopt(\(name))") { getsockopt(socket, level, number, &value, &length) }
    return value
  }

  func set(_ socket: Int32, _ value: Int32) throws(SystemCallError) {
    var value = value
    try systemCall("setsockopt(\(name))") {
      setsockopt(socket, level, number, &value, socklen_t(MemoryLayout<Int32>.size))
    }
  }

  private static func tcp(_ number: Int32, _ name: String) -> SocketOption {
    SocketOption(level: Int32(IPPROTO_TCP), number: number, name: name)
  }
  private static func socket(_ number: Int32, _ name: String) -> SocketOption {
    SocketOption(level: SOL_SOCKET, number: number, name: name)
  }
  private static func ip(_ number: Int32, _ name: String) -> SocketOption {
    SocketOption(level: Int32(IPPROTO_IP), number: number, name: name)
  }
  private static func ipv6(_ number: Int32, _ name: String) -> SocketOption {
    SocketOption(level: Int32(IPPROTO_IPV6), number: number, name: name)
  }

  static let mark = socket(SO_MARK, "SO_MARK")
  static let type = socket(SO_TYPE, "SO_TYPE")
  static let domain = socket(SO_DOMAIN, "SO_DOMAIN")
  static let protocolNumber = socket(SO_PROTOCOL, "SO_PROTOCOL")
  static let reuseAddress = socket(SO_REUSEADDR, "SO_REUSEADDR")
  static let reusePort = socket(SO_REUSEPORT, "SO_REUSEPORT")
  static let inlineUrgent = socket(SO_OOBINLINE, "SO_OOBINLINE")
  static let maximumPacingRate = socket(SO_MAX_PACING_RATE, "SO_MAX_PACING_RATE")
  static let zeroCopy = socket(SO_ZEROCOPY, "SO_ZEROCOPY")
  static let boundInterface = socket(Int32(HF_SO_BINDTOIFINDEX), "SO_BINDTOIFINDEX")
  static let keepAlive = socket(SO_KEEPALIVE, "SO_KEEPALIVE")
  static let priority = socket(SO_PRIORITY, "SO_PRIORITY")
  static let receiveLowWater = socket(SO_RCVLOWAT, "SO_RCVLOWAT")
  static let sendBuffer = socket(SO_SNDBUF, "SO_SNDBUF")
  static let receiveBuffer = socket(SO_RCVBUF, "SO_RCVBUF")
  static let sendBufferForce = socket(SO_SNDBUFFORCE, "SO_SNDBUFFORCE")
  static let receiveBufferForce = socket(SO_RCVBUFFORCE, "SO_RCVBUFFORCE")
  static let bufferLock = socket(Int32(HF_SO_BUF_LOCK), "SO_BUF_LOCK")

  static let noDelay = tcp(TCP_NODELAY, "TCP_NODELAY")
  static let cork = tcp(TCP_CORK, "TCP_CORK")
  static let keepIdle = tcp(TCP_KEEPIDLE, "TCP_KEEPIDLE")
  static let keepInterval = tcp(TCP_KEEPINTVL, "TCP_KEEPINTVL")
  static let keepCount = tcp(TCP_KEEPCNT, "TCP_KEEPCNT")
  static let userTimeout = tcp(TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT")
  static let finWaitTimeout = tcp(TCP_LINGER2, "TCP_LINGER2")
  static let quickAck = tcp(TCP_QUICKACK, "TCP_QUICKACK")
  static let notSentLowWater = tcp(TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT")
  static let maximumSegment = tcp(TCP_MAXSEG, "TCP_MAXSEG")
  static let repair = tcp(Int32(HF_TCP_REPAIR), "TCP_REPAIR")
  static let repairQueue = tcp(Int32(HF_TCP_REPAIR_QUEUE), "TCP_REPAIR_QUEUE")
  static let queueSequence = tcp(Int32(HF_TCP_QUEUE_SEQ), "TCP_QUEUE_SEQ")
  static let timestamp = tcp(Int32(HF_TCP_TIMESTAMP), "TCP_TIMESTAMP")
  static let maximumTimeout = tcp(Int32(HF_TCP_RTO_MAX_MS), "TCP_RTO_MAX_MS")
  static let minimumTimeout = tcp(Int32(HF_TCP_RTO_MIN_US), "TCP_RTO_MIN_US")
  static let maximumAckDelay = tcp(Int32(HF_TCP_DELACK_MAX_US), "TCP_DELACK_MAX_US")
  static let linearTimeouts = tcp(TCP_THIN_LINEAR_TIMEOUTS, "TCP_THIN_LINEAR_TIMEOUTS")
  static let inputCount = tcp(Int32(HF_TCP_INQ), "TCP_INQ")

  static let typeOfService = ip(IP_TOS, "IP_TOS")
  static let timeToLive = ip(IP_TTL, "IP_TTL")
  static let mtuDiscover = ip(IP_MTU_DISCOVER, "IP_MTU_DISCOVER")
  static let minimumTTL = ip(IP_MINTTL, "IP_MINTTL")
  static let receiveErrors = ip(IP_RECVERR, "IP_RECVERR")
  static let transparent = ip(IP_TRANSPARENT, "IP_TRANSPARENT")
  static let trafficClass = ipv6(IPV6_TCLASS, "IPV6_TCLASS")
  static let hopLimit = ipv6(IPV6_UNICAST_HOPS, "IPV6_UNICAST_HOPS")
  static let mtuDiscoverV6 = ipv6(IPV6_MTU_DISCOVER, "IPV6_MTU_DISCOVER")
  static let minimumHopLimit = ipv6(Int32(HF_IPV6_MINHOPCOUNT), "IPV6_MINHOPCOUNT")
  static let autoFlowLabel = ipv6(Int32(HF_IPV6_AUTOFLOWLABEL), "IPV6_AUTOFLOWLABEL")
  static let receiveErrorsV6 = ipv6(IPV6_RECVERR, "IPV6_RECVERR")
  static let transparentV6 = ipv6(Int32(HF_IPV6_TRANSPARENT), "IPV6_TRANSPARENT")
  static let onlyV6 = ipv6(IPV6_V6ONLY, "IPV6_V6ONLY")
}
