internal import Replication
internal import Pairing

/// The connections move to the other host.
struct Move {
  /// The stream position at which the standby holds everything; nil until the sockets stand still.
  var position: UInt64?
  /// How far the standby had come when that was last looked at.
  var progress: UInt64 = 0
  /// When it is looked at again, ns.
  var nextLook: UInt64 = 0

  /// How long the standby may acknowledge nothing before it has acknowledged the last record, ns. As long as it goes on, so
  /// does the move, however much there is to carry: calls on the sockets fail meanwhile, so going back would cost the
  /// applications their connections.
  static let patience: UInt64 = 2_000_000_000
}

/// The daemon ends, to start again.
struct Restart {
  /// The stream position at which the standby holds everything.
  var position: UInt64
  /// Until when that is waited for, ns. It only saves retransmissions.
  var deadline: UInt64

  static let patience: UInt64 = 500_000_000
}

extension Host {
  /// Whether what applications do here counts. While the connections move they are about to be the other host's, and it does
  /// not.
  public var ownsConnections: Bool { machine.role == .active && !machine.isHandingOver }

  /// This host owns its connections, and all of them stand: none is being restored or built anew.
  public var isSteady: Bool { ownsConnections && !isTakingOver }

  mutating func stoodStill(now: UInt64) {
    guard move != nil else { return }
    move = Move(
      position: source.outgoing.position, progress: source.acknowledged, nextLook: now + Move.patience)
    report([.effect(.flush), .checkMove])
  }

  /// Until the standby has acknowledged the last record this host can change its mind.
  mutating func checkMove() {
    guard machine.isHandingOver, let position = move?.position, source.acknowledged >= position else { return }
    push(.react(.handOverReady))
  }

  private mutating func watchMove(now: UInt64) {
    guard let move, move.position != nil, now >= move.nextLook else { return }
    guard source.acknowledged > move.progress else { return push(.react(.handOverFailed)) }
    self.move?.progress = source.acknowledged
    self.move?.nextLook = now + Move.patience
    push(.effect(.moving))
  }

  mutating func muted(now: UInt64) {
    restart = Restart(position: source.outgoing.position, deadline: now + Restart.patience)
    report([.effect(.flush), .checkRestart])
  }

  mutating func checkRestart(now: UInt64) {
    guard let restart else { return }
    if machine.role == .active, source.phase == .synced, source.acknowledged < restart.position,
      now < restart.deadline
    {
      return
    }
    self.restart = nil
    push(.effect(.restartReady(isKept: machine.role == .active)))
  }

  /// Time has passed.
  mutating func watch(observed: UInt64, now: UInt64) {
    if restart != nil { push(.checkRestart) }
    watchMove(now: now)
    watchFollower(observed: observed)
  }
}
