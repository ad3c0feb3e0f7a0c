public import ControlAPI
internal import Synchronization
internal import SystemCalls

/// An application's connection to the daemon on its host.
///
/// Calls wait for the daemon's answer. A client may be used from several threads: their calls follow each other, so threads that
/// register many connections do well to have a client each. When the daemon was restarted the next call connects again.
///
/// ```swift
/// let daemon = try HoldfastClient()
/// let protection = try daemon.register(socket, service: "web")
/// ```
public final class HoldfastClient: Sendable {
  /// Where the daemon listens unless its configuration says otherwise.
  public static let defaultPath = "/run/holdfast/control.sock"

  public let path: String
  private let patience: Int?
  private let channel: Mutex<CallChannel?>

  /// Connects.
  /// - Parameters:
  ///   - path: the daemon's control socket.
  ///   - patience: longest wait for an answer, ms; nil waits for ever.
  public init(path: String = HoldfastClient.defaultPath, patience: Int? = nil) throws(HoldfastError) {
    self.path = path
    self.patience = patience
    do throws(SystemCallError) {
      channel = Mutex(try CallChannel(path: path, patience: patience))
    } catch {
      throw HoldfastError(connecting: error, path: path)
    }
  }

  /// Puts a connected TCP socket under protection, and waits until the standby holds it or cannot.
  ///
  /// Leave the socket alone during the call. It stays yours, and `close` alone no longer ends the connection, because the daemon
  /// has a duplicate: shut it down, or release it.
  /// - Parameters:
  ///   - descriptor: the socket's number.
  ///   - service: under which name the other host's instance adopts it; 1 to 64 bytes.
  ///   - key: what that instance needs to go on; up to 4096 bytes.
  ///   - retention: when input counts as consumed; nil is `read`.
  public func register(
    _ descriptor: Int32, service: String, key: String? = nil, retention: Retention? = nil
  ) throws(HoldfastError) -> RegisterReply {
    try call(
      "Register", RegisterCall(fd: 0, service: service, key: key, retention: retention), descriptor: descriptor)
  }

  /// Says that input up to `consumed` is consumed, for a connection with retention `confirm`. What is written after the call leaves
  /// the host only when the standby knows it.
  public func confirm(_ id: String, consumed: Int) throws(HoldfastError) {
    let _: VarlinkCodec.NoParameters = try call("Confirm", ConfirmCall(id: id, consumed: consumed))
  }

  /// Replicates state that is valid after consuming and producing so many bytes. What is written after the call leaves the host
  /// only when the standby has the checkpoint.
  /// - Parameters:
  ///   - id: the connection's name.
  ///   - state: up to 256 KiB.
  ///   - consumed: input offset from which the state goes on; nil when it does not depend on it.
  ///   - produced: output offset that the state has come to; nil when it does not depend on it.
  public func checkpoint(
    _ id: String, state: [UInt8], consumed: Int? = nil, produced: Int? = nil
  ) throws(HoldfastError) {
    let _: VarlinkCodec.NoParameters = try call(
      "Checkpoint", CheckpointCall(id: id, state: state.base64, consumed: consumed, produced: produced))
  }

  /// Ends a connection's protection.
  public func release(_ id: String, how: ReleaseMode = .keep) throws(HoldfastError) {
    let _: VarlinkCodec.NoParameters = try call("Release", ReleaseCall(id: id, how: how))
  }

  /// Moves a pair to the other host, and waits until that one is active.
  public func switchover(pair: String) throws(HoldfastError) {
    let _: VarlinkCodec.NoParameters = try call("Switchover", SwitchoverCall(pair: pair))
  }

  /// Makes this host active, where a cluster manager decides who is.
  public func promote(pair: String) throws(HoldfastError) {
    let _: VarlinkCodec.NoParameters = try call("Promote", SwitchoverCall(pair: pair))
  }

  /// Has this host stop being active, where a cluster manager decides who is.
  public func demote(pair: String) throws(HoldfastError) {
    let _: VarlinkCodec.NoParameters = try call("Demote", SwitchoverCall(pair: pair))
  }

  /// The host's name and its pairs.
  public func status() throws(HoldfastError) -> StatusReply {
    try call("GetStatus", VarlinkCodec.NoParameters())
  }

  /// All connections, or those of a pair, or of a service.
  public func connections(pair: String? = nil, service: String? = nil) throws(HoldfastError) -> [ConnectionInfo] {
    let reply: ListConnectionsReply = try call("ListConnections", ListConnectionsCall(pair: pair, service: service))
    return reply.connections
  }

  /// Waits for connections of `service` that this host continues, on a connection of its own.
  public func adopt(service: String) throws(HoldfastError) -> Adoption { try Adoption(path: path, service: service) }

  private func call<Value: Decodable & Sendable>(
    _ method: String, _ parameters: some Encodable & Sendable, descriptor: Int32? = nil
  ) throws(HoldfastError) -> Value {
    let (path, patience) = (path, patience)
    return try channel.withLock { (channel) throws(HoldfastError) -> Value in
      // After a failure the next reply could be the one that did not come in time.
      let current = try Self.usable(channel, path: path, patience: patience)
      channel = nil
      do throws(CallChannel.Failure) {
        try current.send("io.holdfast.\(method)", parameters, descriptor: descriptor)
        let answer: CallChannel.Answer<Value> = try current.receive()
        channel = current
        return answer.parameters
      } catch {
        if case .refused = error { channel = current }
        throw HoldfastError(error, path: path)
      }
    }
  }

  private static func usable(
    _ channel: CallChannel?, path: String, patience: Int?
  ) throws(HoldfastError) -> CallChannel {
    if let channel, !channel.isStale { return channel }
    do throws(SystemCallError) {
      return try CallChannel(path: path, patience: patience)
    } catch {
      throw HoldfastError(connecting: error, path: path)
    }
  }
}
