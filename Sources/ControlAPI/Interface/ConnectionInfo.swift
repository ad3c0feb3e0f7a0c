/// A connection as the control socket shows it: `Connection` in the interface description.
public struct ConnectionInfo: Codable, Hashable, Sendable {
  /// 16 hexadecimal digits; stable over failovers.
  public var id: String
  public var pair: String
  public var service: String
  public var key: String?
  /// `10.77.0.100:80`, `[fd77::100]:80`.
  public var local: String
  public var peer: String
  /// The kernel's name: `ESTABLISHED`, `CLOSE_WAIT`.
  public var tcpState: String
  /// The standby could continue it now.
  public var protected: Bool
  /// Why no standby could, whatever it holds, and what would help; nil when that is not so.
  public var obstacle: String?
  /// Input that the peer was told is delivered; stream bytes since registration, as are the next two.
  public var received: Int
  /// Input that will not be presented again after a failover.
  public var consumed: Int
  /// Output that is on the standby.
  public var sent: Int
  /// Output that the peer has not acknowledged, bytes.
  public var unacknowledged: Int
  /// Bytes of the pair's replication stream that the standby has not acknowledged.
  public var replicaLag: Int
  /// What the socket adds to the host's timestamp clock, in `timestampUnit`, modulo 2^32.
  public var timestampOffset: Int
  public var timestampUnit: TimestampUnitName

  public init(
    id: String, pair: String, service: String, key: String?, local: String, peer: String, tcpState: String,
    protected: Bool, received: Int, consumed: Int, sent: Int, unacknowledged: Int, replicaLag: Int,
    timestampOffset: Int, timestampUnit: TimestampUnitName, obstacle: String? = nil
  ) {
    self.obstacle = obstacle
    self.id = id
    self.pair = pair
    self.service = service
    self.key = key
    self.local = local
    self.peer = peer
    self.tcpState = tcpState
    self.protected = protected
    self.received = received
    self.consumed = consumed
    self.sent = sent
    self.unacknowledged = unacknowledged
    self.replicaLag = replicaLag
    self.timestampOffset = timestampOffset
    self.timestampUnit = timestampUnit
  }
}

/// The tick of a connection's TCP timestamps.
public enum TimestampUnitName: String, Codable, Hashable, Sendable, CaseIterable {
  /// The connection has no timestamps.
  case none
  case milliseconds = "ms"
  case microseconds = "us"
}
