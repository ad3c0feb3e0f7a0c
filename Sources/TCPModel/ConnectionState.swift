/// What the two ends agreed on in the handshake; it never changes afterwards.
public struct NegotiatedOptions: Hashable, Sendable {
  /// The peer's MSS option, bytes (tp->rx_opt.mss_clamp; TCP_MAXSEG read in repair mode).
  public var maximumSegmentSize: UInt16
  /// Shift of the windows that the peer announces (tcpi_snd_wscale), 0...14. Meaningful with `windowScaling` alone.
  public var sendWindowScale: UInt8
  /// Shift of the windows that we announce (tcpi_rcv_wscale), 0...14.
  public var receiveWindowScale: UInt8
  public var windowScaling: Bool
  public var selectiveAcknowledgements: Bool
  public var timestampUnit: TimestampUnit

  public init(
    maximumSegmentSize: UInt16, sendWindowScale: UInt8, receiveWindowScale: UInt8, windowScaling: Bool,
    selectiveAcknowledgements: Bool, timestampUnit: TimestampUnit
  ) {
    self.maximumSegmentSize = maximumSegmentSize
    self.sendWindowScale = sendWindowScale
    self.receiveWindowScale = receiveWindowScale
    self.windowScaling = windowScaling
    self.selectiveAcknowledgements = selectiveAcknowledgements
    self.timestampUnit = timestampUnit
  }

  /// The largest window that can be offered to the peer, bytes (RFC 7323 section 2.3).
  var largestReceiveWindow: Int { 0xffff << Int(receiveWindowScale) }
}

/// The windows of both directions, as TCP_REPAIR_WINDOW carries them (struct tcp_repair_window).
public struct WindowState: Hashable, Sendable {
  /// Sequence number of the segment that last updated `sendWindow` (snd_wl1).
  public var sendWindowUpdate: SequenceNumber
  /// What the peer offers from snd_una on, bytes (snd_wnd).
  public var sendWindow: UInt32
  /// The largest `sendWindow` that was ever seen, bytes (max_window).
  public var maximumWindow: UInt32
  /// What we offer from `receiveWindowUpdate` on, bytes (rcv_wnd).
  public var receiveWindow: UInt32
  /// rcv_nxt when we last offered a window (rcv_wup).
  public var receiveWindowUpdate: SequenceNumber

  public init(
    sendWindowUpdate: SequenceNumber, sendWindow: UInt32, maximumWindow: UInt32, receiveWindow: UInt32,
    receiveWindowUpdate: SequenceNumber
  ) {
    self.sendWindowUpdate = sendWindowUpdate
    self.sendWindow = sendWindow
    self.maximumWindow = maximumWindow
    self.receiveWindow = receiveWindow
    self.receiveWindowUpdate = receiveWindowUpdate
  }
}

/// Socket options that an application or the daemon may have set, and that a restored socket gets again.
public struct SocketOptions: Hashable, Sendable {
  /// The numbers travel on the replication channel: never reuse one.
  public enum Name: UInt8, CaseIterable, Sendable {
    case noDelay = 1
    case cork = 2
    case keepAlive = 3
    /// Seconds, as are `keepInterval` and `finWaitTimeout` (TCP_LINGER2).
    case keepIdle = 4
    case keepInterval = 5
    case keepCount = 6
    /// Milliseconds (TCP_USER_TIMEOUT).
    case userTimeout = 7
    case finWaitTimeout = 8
    case notSentLowWater = 9
    case receiveLowWater = 10
    case typeOfService = 11
    case timeToLive = 12
    case trafficClass = 13
    case hopLimit = 14
    case priority = 15
    case mtuDiscover = 16
    case reuseAddress = 17
    /// Bytes as getsockopt reports them: twice what was set.
    case sendBuffer = 18
    case receiveBuffer = 19
    /// Which buffers the application fixed (SO_BUF_LOCK: 1 send, 2 receive); the others are tuned by the kernel.
    case bufferLock = 20
    /// Seconds to linger, or -1 for off (SO_LINGER).
    case linger = 21
    case quickAck = 22
    case reusePort = 23
    /// Urgent data in its place among the other bytes (SO_OOBINLINE).
    case inlineUrgent = 24
    /// Bytes a second, unsigned; -1 for no limit (SO_MAX_PACING_RATE).
    case maximumPacingRate = 25
    /// Milliseconds, 0 for none (SO_RCVTIMEO, SO_SNDTIMEO).
    case receiveTimeout = 26
    case sendTimeout = 27
    /// What arrives with a smaller TTL, or hop limit, is refused (IP_MINTTL, IPV6_MINHOPCOUNT; RFC 5082).
    case minimumTTL = 28
    case minimumHopLimit = 29
    /// Milliseconds (TCP_RTO_MAX_MS), microseconds (TCP_RTO_MIN_US, TCP_DELACK_MAX_US).
    case maximumTimeout = 30
    case minimumTimeout = 31
    case maximumAckDelay = 32
    case mtuDiscoverV6 = 33
    /// SO_MARK.
    case mark = 34
    case linearTimeouts = 35
    case autoFlowLabel = 36
    case zeroCopy = 37
    /// Whether reads tell how much more there is (TCP_INQ).
    case inputCount = 38
    case receiveErrors = 39
    case receiveErrorsV6 = 40
  }

  /// Values by name; a name that is missing was not readable where the socket came from.
  public var values: [Name: Int32]
  /// TCP_CONGESTION: `cubic`, `bbr`; empty when unknown.
  public var congestionControl: String

  public init(values: [Name: Int32] = [:], congestionControl: String = "") {
    self.values = values
    self.congestionControl = congestionControl
  }
}

/// The TCP repair state of one connection: all that a socket on another host is made of.
///
/// Sequence numbers and bytes belong together:
///
///     send queue     sndUna ......... sndNxt        receive queue   copiedSeq ....... rcvNxt
///                    [ sendQueue    ](FIN?)                         [ receiveQueue ](FIN?)
///
/// A FIN takes the sequence number after the last byte, so with `finSent` or `finReceived` the end is one higher than the
/// bytes reach.
public struct ConnectionState: Hashable, Sendable {
  public var flow: Flow
  /// The socket is AF_INET6 and talks IPv4 (`::ffff:a.b.c.d`): the restored one must be the same kind.
  public var isMapped: Bool
  public var negotiated: NegotiatedOptions

  /// The oldest byte that the peer has not acknowledged.
  public var sndUna: SequenceNumber
  /// One past the last byte (or FIN) that was sent.
  public var sndNxt: SequenceNumber
  public var sendQueue: [UInt8]
  /// Our FIN was sent: it is the last sequence number before `sndNxt`, and may be acknowledged already.
  public var finSent: Bool

  /// The first byte that the application has not read.
  public var copiedSeq: SequenceNumber
  /// One past the last byte (or FIN) that was received in order.
  public var rcvNxt: SequenceNumber
  public var receiveQueue: [UInt8]
  /// The peer's FIN was received: it is the last sequence number before `rcvNxt`.
  public var finReceived: Bool

  public var window: WindowState
  public var timestamp: TimestampClock
  public var options: SocketOptions

  public init(
    flow: Flow, isMapped: Bool, negotiated: NegotiatedOptions, sndUna: SequenceNumber, sndNxt: SequenceNumber,
    sendQueue: [UInt8], finSent: Bool, copiedSeq: SequenceNumber, rcvNxt: SequenceNumber, receiveQueue: [UInt8],
    finReceived: Bool, window: WindowState, timestamp: TimestampClock, options: SocketOptions
  ) {
    self.flow = flow
    self.isMapped = isMapped
    self.negotiated = negotiated
    self.sndUna = sndUna
    self.sndNxt = sndNxt
    self.sendQueue = sendQueue
    self.finSent = finSent
    self.copiedSeq = copiedSeq
    self.rcvNxt = rcvNxt
    self.receiveQueue = receiveQueue
    self.finReceived = finReceived
    self.window = window
    self.timestamp = timestamp
    self.options = options
  }
}
