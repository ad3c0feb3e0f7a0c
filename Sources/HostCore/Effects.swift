public import Pairing
public import TCPModel

extension Host {
  /// What is to be done for a host, in order.
  public enum Effect {
    // What the host is.
    /// The highest epoch that this host has been in or heard of is to be kept over a crash, before anything else is done.
    case keepEpoch(UInt64)
    /// Take the addresses, with nothing to continue.
    case becomeActive(epoch: UInt64, reason: String)
    /// Hold what comes for these connections, take the addresses, and restore them; `Event.takeoverEnded` is to follow.
    case takeOver(PairMachine.Takeover, Restoration)
    case becomeStandby(reason: String)
    /// Claim nothing, wait for the other host.
    case startOver(reason: String)
    case fence(reason: String)
    /// A daemon before this one had the addresses, and this host goes on: they are to be here.
    case takeBack
    case dropAddresses
    /// Sockets of the service addresses that belong to nobody end without a packet.
    case endLeftovers

    // Connections.
    /// Stop the sockets, and record what they hold and have not sent; `Event.stoodStill` is to follow.
    case standStill
    /// The sockets that stand still go on.
    case goOn
    /// What has come for sockets that stood still is recorded and dropped.
    case recordLate
    /// The sockets end without a packet.
    case abandonConnections
    /// The connections go on by themselves, with nobody behind them.
    case unprotectConnections
    /// Flows may be known no longer, or again.
    case flowsChanged(Set<Flow>)

    // Packets.
    /// The standby has acknowledged something, or nobody need be waited for: `Host.release` may have packets that may leave.
    case packetsMayGo
    /// Packets that wait to leave, up to this one of the egress queue, are to be dropped.
    case drop(upTo: UInt32)

    // The standby, and the active host.
    /// Send what `source.outgoing` has, as far as the transport takes it at once.
    case flush
    case closeStandby(reason: String)
    case follow
    case stopFollowing
    /// End the session with the active host, and connect again.
    case leaveSource(String)
    case sayGoodbyeToSource
    /// This host follows the active one.
    case following(node: String, epoch: UInt64)
    case sourceLost(String)
    case replicationChanged(ReplicationPhase)
    case sendHeartbeat
    case ask(PairMachine.Question)

    // What somebody waits for.
    /// The standby acknowledges more and more: the move goes on.
    case moving
    case handedOver
    case switchoverEnded(isMoved: Bool)
    /// - Parameter isKept: whether there is something to leave to the next daemon.
    case restartReady(isKept: Bool)
    case note(PairMachine.Note)
  }
}
