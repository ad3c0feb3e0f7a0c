/// Finds out which heartbeat paths have fallen silent and which speak again, for the journal: a pair whose last path but one is gone
/// works as before, and the next fault is one too many.
///
/// Silence counts in time that this host observed, as for the death of the peer, and shorter ones than `limit` are not worth a word.
struct PathWatch {
  enum Change: Equatable {
    case arrives(path: Int)
    /// - silence: ns.
    case silent(path: Int, silence: UInt64)
  }

  private struct Path {
    /// ns on this host's clock; nil for never.
    var lastHeard: UInt64?
    /// Observed ns since then, or since the beginning.
    var silence: UInt64 = 0
    /// What the journal has been told; nil for nothing yet.
    var isSilent: Bool?
  }

  /// ns.
  private let limit: UInt64
  private var paths: [Path]

  /// - Parameter deadAfter: of the pair, ns.
  init(paths: Int, deadAfter: UInt64) {
    limit = max(deadAfter, Self.shortestSilence)
    self.paths = [Path](repeating: Path(), count: paths)
  }
  private static let shortestSilence: UInt64 = 1_000_000_000

  /// - Parameters:
  ///   - lastHeard: of each path, ns; nil for never.
  ///   - observed: since the last look, ns.
  /// - Returns: what the journal is to be told.
  mutating func look(lastHeard: [UInt64?], observed: UInt64) -> [Change] {
    for (index, heard) in lastHeard.enumerated() where paths.indices.contains(index) {
      paths[index].silence = heard == paths[index].lastHeard ? paths[index].silence + observed : 0
      paths[index].lastHeard = heard
    }
    // Before the other host is there at all no path is worse than another.
    let isPeerThere = paths.contains { $0.lastHeard != nil && $0.silence < limit }
    var changes: [Change] = []
    for index in paths.indices {
      let path = paths[index]
      if path.lastHeard != nil, path.silence == 0, path.isSilent != false {
        paths[index].isSilent = false
        changes.append(.arrives(path: index))
      } else if path.silence >= limit, path.isSilent != true, path.lastHeard != nil || isPeerThere {
        paths[index].isSilent = true
        changes.append(.silent(path: index, silence: path.silence))
      }
    }
    return changes
  }
}
