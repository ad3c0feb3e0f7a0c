internal import TCPModel

/// Flows that a daemon before this one had under protection and that are nobody's now: their sockets may live on in an
/// application, and what they say was never recorded. Their packets are dropped until the socket is gone.
final class LeftoverFlows {
  private(set) var all: Set<Flow>
  /// A flow is left over no longer.
  var onChange: ((Flow) -> Void)?

  init(_ flows: Set<Flow> = []) { all = flows }

  var isEmpty: Bool { all.isEmpty }
  func contains(_ flow: Flow) -> Bool { !all.isEmpty && all.contains(flow) }

  func add(_ flows: Set<Flow>) { all.formUnion(flows) }

  func remove(_ flow: Flow) {
    if all.remove(flow) != nil { onChange?(flow) }
  }

  /// Keeps those that are in `living`.
  func prune(to living: Set<Flow>) {
    for flow in all.subtracting(living) { remove(flow) }
  }
}
