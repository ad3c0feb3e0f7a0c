/// Which of a peer's authentic heartbeats tell how things are now.
///
/// A tag says who made a heartbeat, not when: whoever listens on a path can send an old one again. So each carries, as its *echo*,
/// the instance of the host that it is meant for. An instance is random and lasts for one run of a daemon; a heartbeat that echoes
/// the receiver's was therefore made during the receiver's run. With the first such one the sender's instance is proven, and from
/// then on sequence numbers tell new ones from old. An instance that another has followed is over for good.
public struct HeartbeatFilter: Sendable {
  public enum Verdict: Hashable, Sendable {
    /// It is from now.
    case fresh
    /// It was here before, or its time is over. (Also one that was overtaken on its way; nothing is lost with it.)
    case replayed
    /// It may be old, and does not count; an answer lets its sender prove that it is not.
    case unproven
  }

  private let instance: UInt64
  private var current: UInt64?
  private var retired: Set<UInt64> = []
  /// The highest sequence number of the current instance on each path.
  private var newest: [UInt64]
  /// Instances that are not proven, and the highest sequence number of each.
  private var unproven: [(instance: UInt64, sequence: UInt64)] = []
  /// For the next heartbeat to the peer: the instance that was heard last.
  public private(set) var echo: UInt64 = 0

  private static let unprovenLimit = 8

  /// - Parameter instance: this host's.
  public init(instance: UInt64, paths: Int) {
    self.instance = instance
    newest = [UInt64](repeating: 0, count: paths)
  }

  /// - Parameter heartbeat: an authentic one.
  public mutating func judge(_ heartbeat: Heartbeat, on path: Int) -> Verdict {
    guard newest.indices.contains(path), heartbeat.instance != instance, !retired.contains(heartbeat.instance) else {
      return .replayed
    }
    if heartbeat.instance == current {
      guard heartbeat.sequence > newest[path] else { return .replayed }
    } else if heartbeat.echo == instance {
      if let current { retired.insert(current) }
      current = heartbeat.instance
      newest = newest.map { _ in 0 }
      unproven.removeAll()
    } else {
      return suspect(heartbeat)
    }
    newest[path] = heartbeat.sequence
    echo = heartbeat.instance
    return .fresh
  }

  private mutating func suspect(_ heartbeat: Heartbeat) -> Verdict {
    if let index = unproven.firstIndex(where: { $0.instance == heartbeat.instance }) {
      guard heartbeat.sequence > unproven[index].sequence else { return .replayed }
      unproven[index].sequence = heartbeat.sequence
    } else {
      if unproven.count == Self.unprovenLimit { unproven.removeFirst() }
      unproven.append((heartbeat.instance, heartbeat.sequence))
    }
    echo = heartbeat.instance
    return .unproven
  }
}
