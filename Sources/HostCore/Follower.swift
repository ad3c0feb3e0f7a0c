public import Replication
internal import Pairing
public import TCPModel

/// The standby, as the active host sees it.
struct Follower {
  var isAttached = false
  /// For how long nothing was acknowledged although something should have been, in ns in which it could have been heard.
  var stalled: UInt64 = 0
  var lastAcknowledged: UInt64 = 0
}

extension Host {
  /// A standby has connected that may follow this host. A session that it had before ends by `Event.standbyEnded` first.
  /// - Parameters:
  ///   - hello: this host's own.
  ///   - connections: the numbers of those that it is to be told of.
  public mutating func attach(_ hello: Hello, connections: some Sequence<UInt64>) {
    follower = Follower(isAttached: true)
    source.attach(hello, connections: connections)
    report(.react(.channelUp))
  }

  /// A frame from the standby.
  public mutating func receive(fromStandby frame: Frame) throws(ProtocolError) {
    if frame.type == FrameType.goodbye.rawValue {
      return report([.react(.standbyLeft), .endStandby("the standby said goodbye")])
    }
    // The machine knows that the standby is synced before anything leaves because of it.
    if try source.receive(frame) { report(.react(.standbySynced)) }
    if restart != nil { report(.checkRestart) }
    if move != nil { report(.checkMove) }
    report(.effect(.packetsMayGo))
  }

  /// Goes on with the sync of the standby, as far as the transport keeps up.
  /// - Parameter ledgers: what a standby is to be told of.
  @inline(__always)
  public mutating func pump(_ ledgers: borrowing LedgerBook, now: UInt64) {
    if source.phase == .syncing, source.pump(ledgers, now: now) { report(.react(.syncEnding)) }
  }

  mutating func endStandby(_ reason: String) {
    guard follower.isAttached else { return }
    follower.isAttached = false
    source.detach()
    push([.effect(.closeStandby(reason: reason)), .react(.channelDown(silence: follower.stalled)), .checkRestart])
  }

  /// A standby that lives but no longer acknowledges keeps the connections mute as one that is gone does.
  mutating func watchFollower(observed: UInt64) {
    let isMoving = source.acknowledged != follower.lastAcknowledged || source.lag == 0
    follower.lastAcknowledged = source.acknowledged
    follower.stalled = isMoving || !follower.isAttached ? 0 : follower.stalled + observed
    guard machine.configuration.mayExpose, follower.stalled >= machine.configuration.patience else { return }
    push(.endStandby("it has not acknowledged anything for \(follower.stalled / 1_000_000) ms"))
  }
}
