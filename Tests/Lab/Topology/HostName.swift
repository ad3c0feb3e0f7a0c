/// One of the two hosts of the pair.
public enum HostName: String, Sendable, CaseIterable {
  case alpha, beta

  public var other: HostName { self == .alpha ? .beta : .alpha }

  /// The last part of its addresses.
  public var digit: Int { self == .alpha ? 1 : 2 }
}
