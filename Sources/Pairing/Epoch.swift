/// The numbers that epochs can be. An epoch grows with every takeover and with every decision to go on without a standby.
public enum Epoch {
  /// Far beyond what a pair lives to see, so that nothing that is added to an epoch overflows. A number from there on, whoever it comes
  /// from, is no epoch.
  public static let limit: UInt64 = 1 << 62

  /// The next epoch. The last one has none: whoever gets a pair there, with forged heartbeats of a plaintext channel, stops no daemon.
  public static func after(_ epoch: UInt64, by step: UInt64 = 1) -> UInt64 {
    let (next, isOver) = epoch.addingReportingOverflow(step)
    return isOver ? limit - 1 : min(next, limit - 1)
  }
}
