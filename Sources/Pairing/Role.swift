/// What a host is for its pair. The raw value is the byte in a heartbeat.
public enum Role: UInt8, Sendable {
  /// Listens whether the peer is active before it claims anything.
  case starting = 0
  /// Owns the service addresses and the connections.
  case active = 1
  /// Follows the active host and is ready to go on in its place.
  case standby = 2
  /// Was active and found that another host is, in a later epoch, or has handed over. It has let go of everything and will
  /// follow.
  case fenced = 3
}

/// What the active host knows of its standby. The raw value is the byte in a heartbeat.
public enum ReplicationPhase: UInt8, Sendable {
  /// No standby follows, and nothing leaves.
  case waiting = 0
  /// A standby is being brought up to date.
  case syncing = 1
  /// The standby could continue every connection.
  case synced = 2
  /// No standby follows, and the host goes on without one.
  case exposed = 3
}
