public import SystemCalls

/// Who is at the other end of a control connection.
public final class ControlClient {
  public let credentials: PeerCredentials
  weak var connection: ControlConnection?
  init(credentials: PeerCredentials) { self.credentials = credentials }

  /// The client has hung up, or was dropped.
  public var isGone: Bool { connection?.isClosed ?? true }

  /// Bytes of replies that wait for the client's socket to take them.
  public var unreadBytes: Int { connection?.buffered ?? 0 }

  /// The client has not read all that it was sent, descriptors included.
  public var hasUnreadReplies: Bool {
    guard let connection, !connection.isClosed else { return false }
    return connection.buffered > 0 || UnixSocket.hasUnread(connection.descriptorNumber)
  }
}

/// What the daemon does for its clients: one method per method of the interface.
///
/// Each is answered through its `Reply`, at once or later, once or, where the interface says so, more often. Calls of one client
/// may be answered in any order: the replies wait for each other.
public protocol ControlHandler: AnyObject {
  func register(_ call: RegisterCall, descriptor: consuming Descriptor, reply: Reply<RegisterReply>)
  /// The call said `more`.
  func adopt(_ call: AdoptCall, reply: Reply<AdoptReply>)
  func release(_ call: ReleaseCall, reply: Reply<VarlinkCodec.NoParameters>)
  func getStatus(reply: Reply<StatusReply>)
  func listConnections(_ call: ListConnectionsCall, reply: Reply<ListConnectionsReply>)
  func checkpoint(_ call: CheckpointCall, reply: Reply<VarlinkCodec.NoParameters>)
  func confirm(_ call: ConfirmCall, reply: Reply<VarlinkCodec.NoParameters>)
  /// The call said `more`.
  func monitor(reply: Reply<MonitorReply>)
  func switchover(_ call: SwitchoverCall, reply: Reply<VarlinkCodec.NoParameters>)
  func promote(_ call: SwitchoverCall, reply: Reply<VarlinkCodec.NoParameters>)
  func demote(_ call: SwitchoverCall, reply: Reply<VarlinkCodec.NoParameters>)
  /// The client hung up. What it had not been answered was cancelled before.
  func clientGone(_ client: ControlClient)
}

extension ControlHandler {
  public func checkpoint(_ call: CheckpointCall, reply: Reply<VarlinkCodec.NoParameters>) {
    reply.fail(.methodNotImplemented(method: "io.holdfast.Checkpoint"))
  }

  public func confirm(_ call: ConfirmCall, reply: Reply<VarlinkCodec.NoParameters>) {
    reply.fail(.methodNotImplemented(method: "io.holdfast.Confirm"))
  }

  public func monitor(reply: Reply<MonitorReply>) {
    reply.fail(.methodNotImplemented(method: "io.holdfast.Monitor"))
  }

  public func switchover(_ call: SwitchoverCall, reply: Reply<VarlinkCodec.NoParameters>) {
    reply.fail(.methodNotImplemented(method: "io.holdfast.Switchover"))
  }

  public func promote(_ call: SwitchoverCall, reply: Reply<VarlinkCodec.NoParameters>) {
    reply.fail(.methodNotImplemented(method: "io.holdfast.Promote"))
  }

  public func demote(_ call: SwitchoverCall, reply: Reply<VarlinkCodec.NoParameters>) {
    reply.fail(.methodNotImplemented(method: "io.holdfast.Demote"))
  }

  public func clientGone(_ client: ControlClient) {}
}
