/// Tells which of a peer's authentic heartbeats say how things are now.
///
/// A tag says who made a heartbeat, not when: whoever listens on a path can send an old one again. So each heartbeat carries,
/// as its *echo*, the instance of the host that it is meant for. An instance is random and lasts for one run of a daemon. A
/// heartbeat that echoes the receiver's instance was therefore made during the receiver's run. The first such heartbeat proves
/// the sender's instance, and from then on sequence numbers tell new ones from old. An instance that another has followed is
/// over for good.
public struct HeartbeatFilter: Sendable {
  /// Whether an authentic heartbeat counts.
  public enum Verdict: Hashable, Sendable {
    /// The heartbeat is from now.
    case fresh
    /// The heartbeat was here before, or its time is over. A heartbeat that was overtaken on its way counts as one of these,
    /// too; nothing is lost with it.
    case replayed
    /// The heartbeat may be old, and does not count. An answer lets its sender prove that it is not.
    case unproven
  }

  private let instance: UInt64
  private var current: UInt64?
  private var retired: Set<UInt64> = []
  /// The highest sequence number of the current instance on each path.
  private var newest: [UInt64]
  /// Instances that are not proven, and the highest sequence number of each.
  private var unproven: [(instance: UInt64, sequence: UInt64)] = []
  /// The instance that was heard last, 0 for none. The next heartbeat to the peer carries it.
  public private(set) var echo: UInt64 = 0

  private static let unprovenLimit = 8

  /// A filter that has heard nobody.
  /// - Parameters:
  ///   - instance: The random number of this daemon's run.
  ///   - paths: The number of heartbeat paths.
  public init(instance: UInt64, paths: Int) {
    self.instance = instance
    newest = [UInt64](repeating: 0, count: paths)
  }

  /// Judges a heartbeat and remembers it.
  /// - Parameters:
  ///   - heartbeat: An authentic heartbeat.
  ///   - path: The number of the path that brought it, from 0. What comes on a path that is none does not count.
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
