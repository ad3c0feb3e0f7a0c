import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import SystemCalls
import TCPModel
import Testing

/// What was negotiated, and what the application has set, is so again on the restored socket.
@Suite struct RestoreOptionsTests {
  /// What the peer does not do.
  enum Peer: CaseIterable {
    case modern
    case withoutTimestamps
    case withoutSelectiveAcknowledgements
    case withoutWindowScaling
    case withNothing
    case withSmallSegments

    var sysctls: [String] {
      switch self {
      case .modern, .withSmallSegments: []
      case .withoutTimestamps: ["timestamps"]
      case .withoutSelectiveAcknowledgements: ["sack"]
      case .withoutWindowScaling: ["window_scaling"]
      case .withNothing: ["timestamps", "sack", "window_scaling"]
      }
    }
  }

  @Test(arguments: Peer.allCases)
  func theNegotiatedOptionsHoldAndSegmentsAreFull(_ kind: Peer) throws {
    let wire = try Wire()
    for name in kind.sysctls { try wire.peer.setSysctl("net.ipv4.tcp_\(name)", "0") }
    let line = try wire.connect(maximumSegment: kind == .withSmallSegments ? 700 : nil)
    try line.exchange(100_000)
    let before = try TCPInfo(line.host.number)
    let snapshot = try line.move()
    let after = try TCPInfo(line.host.number)
    #expect(before.hasTimestamps == !kind.sysctls.contains("timestamps"))
    #expect(after.hasTimestamps == before.hasTimestamps)
    #expect(after.hasSelectiveAcknowledgements == before.hasSelectiveAcknowledgements)
    #expect(before.hasSelectiveAcknowledgements == !kind.sysctls.contains("sack"))
    // The kernel shows scaling as on with shifts of 0 where there was none; the windows on the wire are the same.
    #expect(after.hasWindowScaling)
    #expect(before.hasWindowScaling == !kind.sysctls.contains("window_scaling"))
    #expect(after.sendWindowScale == before.sendWindowScale)
    #expect(after.receiveWindowScale == before.receiveWindowScale)
    #expect(snapshot.state.negotiated.maximumSegmentSize == (kind == .withSmallSegments ? 700 : 1460))
    // The link carries 1500 bytes; timestamps take 12 of them. What counts is on the wire: the peer's estimate of our segments.
    try line.exchange(100_000)
    let full = (kind == .withSmallSegments ? 700 : 1460) - (before.hasTimestamps ? 12 : 0)
    #expect(try line.peer.information.rcv_mss == UInt32(full))
    try line.finish()
    try wire.expectNoHarm()
  }

  /// The peer goes on to mark its packets; congestion is no longer reported back to it.
  @Test func anECNConnectionGoesOnWithoutIt() throws {
    let wire = try Wire()
    try wire.peer.setSysctl("net.ipv4.tcp_ecn", "1")
    let line = try wire.connect()
    try line.exchange()
    // TCPI_OPT_ECN
    #expect(try line.host.information.options & 8 != 0)
    try line.move()
    #expect(try line.host.information.options & 8 == 0)
    try line.exchange(100_000)
    try line.finish()
    try wire.expectNoHarm()
  }

  struct Option: CustomTestStringConvertible {
    let testDescription: String
    let level: Int32
    let number: Int32
    let value: Int32
    var kind = Wire.Kind.v4

    init(_ name: String, _ level: Int32, _ number: Int32, _ value: Int32, _ kind: Wire.Kind = .v4) {
      testDescription = name
      self.level = level
      self.number = number
      self.value = value
      self.kind = kind
    }
  }

  private static let tcp = Int32(IPPROTO_TCP)
  private static let ip = Int32(IPPROTO_IP)
  private static let ipv6 = Int32(IPPROTO_IPV6)

  @Test(arguments: [
    Option("TCP_NODELAY", tcp, TCP_NODELAY, 1), Option("TCP_CORK", tcp, TCP_CORK, 1),
    Option("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1), Option("TCP_KEEPIDLE", tcp, TCP_KEEPIDLE, 77),
    Option("TCP_KEEPINTVL", tcp, TCP_KEEPINTVL, 11), Option("TCP_KEEPCNT", tcp, TCP_KEEPCNT, 3),
    Option("TCP_USER_TIMEOUT", tcp, TCP_USER_TIMEOUT, 12345), Option("TCP_LINGER2", tcp, TCP_LINGER2, 7),
    Option("TCP_NOTSENT_LOWAT", tcp, TCP_NOTSENT_LOWAT, 16384), Option("SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 64),
    Option("IP_TOS", ip, IP_TOS, 0x48), Option("IP_TTL", ip, IP_TTL, 33),
    Option("SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, 5),
    Option("IP_MTU_DISCOVER", ip, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE),
    Option("SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 1), Option("SO_REUSEADDR off", SOL_SOCKET, SO_REUSEADDR, 0),
    Option("SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, 1), Option("SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, 1),
    Option("SO_MAX_PACING_RATE", SOL_SOCKET, SO_MAX_PACING_RATE, 12_500_000), Option("IP_MINTTL", ip, IP_MINTTL, 60),
    Option("TCP_RTO_MAX_MS", tcp, Int32(HF_TCP_RTO_MAX_MS), 30_000),
    Option("TCP_RTO_MIN_US", tcp, Int32(HF_TCP_RTO_MIN_US), 40_000),
    Option("TCP_DELACK_MAX_US", tcp, Int32(HF_TCP_DELACK_MAX_US), 20_000),
    Option("TCP_THIN_LINEAR_TIMEOUTS", tcp, TCP_THIN_LINEAR_TIMEOUTS, 1),
    Option("SO_ZEROCOPY", SOL_SOCKET, SO_ZEROCOPY, 1), Option("TCP_INQ", tcp, Int32(HF_TCP_INQ), 1),
    Option("IP_RECVERR", ip, IP_RECVERR, 1), Option("SO_MARK", SOL_SOCKET, SO_MARK, 0x50),
    Option("IPV6_TCLASS", ipv6, IPV6_TCLASS, 0x48, .v6), Option("IPV6_UNICAST_HOPS", ipv6, IPV6_UNICAST_HOPS, 33, .v6),
    Option("IPV6_MINHOPCOUNT", ipv6, Int32(HF_IPV6_MINHOPCOUNT), 60, .v6),
    Option("IPV6_MTU_DISCOVER", ipv6, IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE, .v6),
    Option("IPV6_AUTOFLOWLABEL", ipv6, Int32(HF_IPV6_AUTOFLOWLABEL), 0, .v6),
    Option("IPV6_RECVERR", ipv6, IPV6_RECVERR, 1, .v6),
  ])
  func whatTheApplicationHasSetIsSetAgain(_ option: Option) throws {
    let line = try Wire().connect(option.kind)
    try line.host.set(option.level, option.number, option.value)
    try line.exchange()
    try line.move()
    #expect(try line.host.get(option.level, option.number) == option.value)
    try line.hostWrites(3000)
    try line.peerWrites(3000)
    if option.number == TCP_CORK, option.level == Self.tcp { try line.host.setTCP(TCP_CORK, 0) }
    try line.peerReadsAll()
    try line.hostReadsAll()
    try line.wire.expectNoHarm()
  }

  @Test func timeoutsAndLingerAreSetAgain() throws {
    let line = try Wire().connect()
    var wait = timeval(tv_sec: 2, tv_usec: 500_000)
    setsockopt(line.host.number, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
    var linger = Glibc.linger(l_onoff: 1, l_linger: 9)
    setsockopt(line.host.number, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    try line.move()
    let options = SocketOptionsCopy.read(line.host.number)
    #expect(options.values[.receiveTimeout] == 2500)
    #expect(options.values[.sendTimeout] == 0)
    #expect(options.values[.linger] == 9)
  }

  @Test(arguments: ["cubic", "reno", "bbr"])
  func theCongestionControlIsTheSame(_ name: String) throws {
    let line = try Wire().connect()
    let bytes = Array(name.utf8)
    try systemCall("setsockopt(TCP_CONGESTION)") {
      setsockopt(line.host.number, Self.tcp, TCP_CONGESTION, bytes, socklen_t(bytes.count))
    }
    try line.move()
    #expect(SocketOptionsCopy.read(line.host.number).congestionControl == name)
    try line.exchange(100_000)
    try line.finish()
  }

  /// An option is not worth a connection.
  @Test func whatThisKernelDoesNotKnowStaysAtItsDefault() throws {
    let line = try Wire().connect()
    try line.move(edit: {
      $0.options.congestionControl = "unheard-of"
      $0.options.values[.typeOfService] = -5
      $0.options.values[.keepCount] = 100_000
    })
    #expect(SocketOptionsCopy.read(line.host.number).congestionControl == "reno")
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// Putting back large queues forces buffer sizes; the kernel must go on tuning them all the same.
  @Test func buffersAreTunedByTheKernelAsBefore() throws {
    let line = try Wire().connect()
    try line.exchange(400_000)
    try line.wire.peerLock.close()
    try line.hostWrites(60_000)
    try line.peerWrites(200_000)
    try wait(for: "unread input", until: .seconds(10)) { try SocketQueues.unread(line.host.number) > 50_000 }
    #expect(try line.host.get(SOL_SOCKET, Int32(HF_SO_BUF_LOCK)) == 0)
    try line.move(boundary: \.sndNxt, whileLocked: { try line.wire.peerLock.open() })
    #expect(try line.host.get(SOL_SOCKET, Int32(HF_SO_BUF_LOCK)) == 0)
    try line.peerReadsAll()
    try line.hostReadsAll()
    let small = try line.host.get(SOL_SOCKET, SO_SNDBUF)
    try line.exchange(4_000_000)
    #expect(try line.host.get(SOL_SOCKET, SO_SNDBUF) > small)
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test func buffersThatTheApplicationFixedStayFixed() throws {
    let line = try Wire().connect()
    try line.host.set(SOL_SOCKET, SO_SNDBUF, 50_000)
    try line.host.set(SOL_SOCKET, SO_RCVBUF, 70_000)
    try line.exchange()
    try line.move()
    #expect(try line.host.get(SOL_SOCKET, SO_SNDBUF) == 100_000)
    #expect(try line.host.get(SOL_SOCKET, SO_RCVBUF) == 140_000)
    #expect(try line.host.get(SOL_SOCKET, Int32(HF_SO_BUF_LOCK)) == 3)
    try line.exchange(200_000)
    try line.finish()
  }

  @Test func theMarkIsTheApplications() throws {
    let line = try Wire().connect()
    try line.host.set(SOL_SOCKET, SO_MARK, 0x2050)
    try line.wire.hostLock.close()
    let snapshot = try line.wire.host.run {
      try RepairSnapshot.take(line.host.number)
    }
    #expect(snapshot.state.options.values[.mark] == 0x2050)
    try line.vanish()
    try line.restore(snapshot)
    #expect(try line.host.get(SOL_SOCKET, SO_MARK) == 0x2050)
    try line.wire.hostLock.open()
    try line.exchange()
  }

  /// Leaving repair mode clears SO_REUSEADDR; one socket that lacks it is enough to keep a server from its port.
  @Test(arguments: [false, true])
  func theServerCanBindItsPortAgain(afterMove: Bool) throws {
    let wire = try Wire()
    let line = try wire.connect()
    if afterMove {
      try line.move()
    } else {
      _ = try wire.host.run { try RepairSnapshot.take(line.host.number) }
    }
    line.stopListening()
    _ = try wire.host.run { try TCPSocket.listen(on: Wire.service()) }
    try line.exchange()
  }

  /// The other side of it: a socket without SO_REUSEADDR does hold the port.
  @Test func aSocketWithoutReuseHoldsThePort() throws {
    let wire = try Wire()
    let line = try wire.connect()
    try line.host.set(SOL_SOCKET, SO_REUSEADDR, 0)
    try line.move()
    line.stopListening()
    #expect(throws: SystemCallError.self) { try wire.host.run { try TCPSocket.listen(on: Wire.service()) } }
  }
}
