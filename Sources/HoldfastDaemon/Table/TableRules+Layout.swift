internal import HostConfiguration
internal import LinuxNetwork

extension TableRules {
  /// A pair takes two queue numbers from the configured base on.
  /// - Parameter index: the pair's place in the configuration.
  init(pair index: Int, of configuration: Configuration) {
    let ingress = configuration.node.queueBase &+ UInt16(truncatingIfNeeded: 2 * index)
    self.init(pair: configuration.pairs[index].name, ingressQueue: ingress, egressQueue: ingress &+ 1)
  }
}
