public import ControlAPI
public import SystemCalls

/// A connection of the other host that goes on here.
public struct AdoptedConnection: ~Copyable {
  /// Its name, key and offsets: reads from the socket begin at `info.consumed`, writes append at `info.sent`.
  public let info: ConnectionInfo
  /// The newest covered checkpoint: its state, and the output offset it is valid for.
  public let checkpoint: Checkpoint?
  private let socket: Descriptor

  public struct Checkpoint: Hashable, Sendable {
    public let state: [UInt8]
    /// nil when the application gave none.
    public let produced: Int?
  }

  init(info: ConnectionInfo, checkpoint: Checkpoint?, socket: consuming Descriptor) {
    self.info = info
    self.checkpoint = checkpoint
    self.socket = socket
  }

  /// The socket, which may be non-blocking. The connection is under protection already.
  public consuming func takeSocket() -> Descriptor { socket }
}

/// Waits for connections that this host continues after a failover; for one thread.
///
/// ```swift
/// let adoption = try daemon.adopt(service: "web")
/// while true { serve(try adoption.next()) }
/// ```
///
/// Keep it for as long as the application can take connections: one that nobody adopts in time is reset.
public final class Adoption {
  private let path: String
  private let channel: CallChannel

  init(path: String, service: String) throws(HoldfastError) {
    self.path = path
    do throws(SystemCallError) {
      channel = try CallChannel(path: path)
    } catch {
      throw HoldfastError(connecting: error, path: path)
    }
    do throws(CallChannel.Failure) {
      try channel.send("io.holdfast.Adopt", AdoptCall(service: service), more: true)
    } catch {
      throw HoldfastError(error, path: path)
    }
  }

  /// To poll: readable when `next` has something.
  public var descriptorNumber: Int32 { channel.descriptorNumber }

  /// Waits for the next connection. Throws `connectionLost` when the daemon ends: adopt again when it is back.
  public func next() throws(HoldfastError) -> AdoptedConnection {
    do throws(CallChannel.Failure) {
      var answer: CallChannel.Answer<AdoptReply> = try channel.receive()
      let reply = answer.parameters
      guard let socket = answer.descriptors.take(at: reply.fd) else {
        throw CallChannel.Failure.malformed("an adopted connection came without its socket")
      }
      return AdoptedConnection(info: reply.connection, checkpoint: try Self.checkpoint(of: reply), socket: socket)
    } catch {
      throw HoldfastError(error, path: path)
    }
  }

  private static func checkpoint(of reply: AdoptReply) throws(CallChannel.Failure) -> AdoptedConnection.Checkpoint? {
    guard let text = reply.state else { return nil }
    guard let state = [UInt8](base64: text) else { throw .malformed("a checkpoint's state is not base64") }
    return AdoptedConnection.Checkpoint(state: state, produced: reply.produced)
  }
}
