public import ControlAPI
internal import Glibc
internal import Synchronization
public import SystemCalls

/// The daemon on this host, for tasks: calls suspend instead of blocking, and connections are `ResumableConnection`s.
///
/// ```swift
/// let daemon = try AsyncHoldfast()
/// let connection = try await daemon.protect(socket, service: "numbers", retention: .confirm)
/// ```
public final class AsyncHoldfast: Sendable {
  private let client: HoldfastClient
  private let queue: JobQueue

  /// Connects.
  public init(path: String = HoldfastClient.defaultPath) throws(HoldfastError) {
    client = try HoldfastClient(path: path)
    do throws(SystemCallError) {
      queue = try JobQueue()
    } catch {
      throw .system(error)
    }
  }

  /// Puts a connected socket under protection. Nobody may read or write it meanwhile.
  /// - Parameters:
  ///   - socket: a connected TCP socket.
  ///   - service: under which name the other host's instance adopts it; 1 to 64 bytes.
  ///   - key: what that instance needs to go on; up to 4096 bytes.
  ///   - retention: when input counts as consumed.
  public func protect(
    _ socket: consuming Descriptor, service: String, key: String? = nil, retention: Retention = .read
  ) async throws(HoldfastError) -> ResumableConnection {
    let number = socket.number
    let registration = try await register(number, service: service, key: key, retention: retention)
    return try ResumableConnection(socket, id: registration.id, key: key, adopted: nil, checkpoint: nil, daemon: self)
  }

  /// As `protect`, for a socket that stays the caller's.
  public func register(
    _ descriptor: Int32, service: String, key: String? = nil, retention: Retention? = nil
  ) async throws(HoldfastError) -> RegisterReply {
    try await call { (client) throws(HoldfastError) in
      try client.register(descriptor, service: service, key: key, retention: retention)
    }
  }

  /// Connections of `service` that this host continues, as they come. Ends with an error when the daemon does: ask again when it is
  /// back.
  public func adoptions(service: String) -> AsyncThrowingStream<ResumableConnection, any Error> {
    let (stream, continuation) = AsyncThrowingStream<ResumableConnection, any Error>.makeStream()
    let channel = OpenChannel()
    continuation.onTermination = { _ in channel.close() }
    do {
      try BackgroundThread.start { [self] in
        do {
          let adoption = try client.adopt(service: service)
          guard channel.open(adoption.descriptorNumber) else { return }
          defer { channel.forget() }
          while true {
            let adopted = try adoption.next()
            let (info, checkpoint) = (adopted.info, adopted.checkpoint)
            continuation.yield(
              try ResumableConnection(
                adopted.takeSocket(), id: info.id, key: info.key, adopted: info, checkpoint: checkpoint, daemon: self))
          }
        } catch {
          continuation.finish(throwing: error)
        }
      }
    } catch {
      continuation.finish(throwing: error)
    }
    return stream
  }

  /// The channel that a thread waits on, to be ended from outside.
  private final class OpenChannel: Sendable {
    private let state = Mutex<(number: Int32?, isClosed: Bool)>((nil, false))

    /// - Returns: false when it is to be closed already.
    func open(_ number: Int32) -> Bool {
      state.withLock { state in
        state.number = number
        return !state.isClosed
      }
    }

    func forget() { state.withLock { $0.number = nil } }

    func close() {
      state.withLock { state in
        state.isClosed = true
        if let number = state.number { UnixSocket.shutDown(number) }
      }
    }
  }

  /// See `HoldfastClient.confirm`.
  public func confirm(_ id: String, consumed: Int) async throws(HoldfastError) {
    try await call { (client) throws(HoldfastError) in try client.confirm(id, consumed: consumed) }
  }

  /// See `HoldfastClient.checkpoint`.
  public func checkpoint(
    _ id: String, state: [UInt8], consumed: Int? = nil, produced: Int? = nil
  ) async throws(HoldfastError) {
    try await call { (client) throws(HoldfastError) in
      try client.checkpoint(id, state: state, consumed: consumed, produced: produced)
    }
  }

  /// Ends a connection's protection.
  public func release(_ id: String, how: ReleaseMode = .keep) async throws(HoldfastError) {
    try await call { (client) throws(HoldfastError) in try client.release(id, how: how) }
  }

  public func status() async throws(HoldfastError) -> StatusReply {
    try await call { (client) throws(HoldfastError) in try client.status() }
  }

  public func connections(pair: String? = nil, service: String? = nil) async throws(HoldfastError) -> [ConnectionInfo] {
    try await call { (client) throws(HoldfastError) in try client.connections(pair: pair, service: service) }
  }

  private func call<Value: Sendable>(
    _ body: @escaping @Sendable (HoldfastClient) throws(HoldfastError) -> Value
  ) async throws(HoldfastError) -> Value {
    let client = client
    return try await queue.run {
      do throws(HoldfastError) {
        return .success(try body(client))
      } catch {
        return .failure(error)
      }
    }
  }
}
