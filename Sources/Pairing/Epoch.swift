/// The numbers that epochs can be. An epoch grows with every takeover and with every decision to go on without a standby.
public enum Epoch {
  /// The first number that is no epoch. It is far beyond what a pair lives to see, so nothing that is added to an epoch
  /// overflows. A number from there on is refused, whoever it comes from.
  public static let limit: UInt64 = 1 << 62

  /// The epoch that is `step` later, at most the last one, `limit - 1`.
  ///
  /// The last epoch has no next one. So nobody stops a daemon who gets a pair there with forged heartbeats of a plaintext
  /// channel.
  /// - Parameters:
  ///   - epoch: An epoch, or any other number.
  ///   - step: How much later.
  public static func after(_ epoch: UInt64, by step: UInt64 = 1) -> UInt64 {
    let (next, isOver) = epoch.addingReportingOverflow(step)
    return isOver ? limit - 1 : min(next, limit - 1)
  }
}
