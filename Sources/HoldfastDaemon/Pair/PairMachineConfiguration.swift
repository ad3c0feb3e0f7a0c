internal import HostConfiguration
internal import Pairing

extension PairMachine.Configuration {
  /// What the pair's machine needs to know of the configuration.
  init(_ pair: Configuration.Pair, node: String, asks: PairMachine.Asks) {
    self.init(
      node: node, pair: pair.name, prefersActive: pair.prefer == .active, paths: pair.heartbeat.paths.count,
      interval: pair.heartbeat.interval, deadAfter: pair.heartbeat.deadAfter, exposeAfter: pair.solo.exposeAfter,
      mayExpose: pair.solo.policy == .allow, restartPatience: pair.heartbeat.restartPatience, asks: asks,
      arbiterKnowsEpochs: pair.solo.arbiter != .external, tracksLinks: pair.tracksLinks,
      linkDownAfter: pair.linkDownAfter)
  }
}
