internal import ControlAPI
internal import Glibc
internal import SystemCalls
internal import SystemPackage

/// A protected connection that knows its offsets, so that an application goes on after a failover as if nothing had happened.
///
/// Read and write; make checkpoints of what cannot be made again. After a failover the other host's instance gets the connection
/// with the newest covered checkpoint: reading begins at that checkpoint's input offset, and the output that the application makes
/// again from there is skipped as far as the peer has it. For one reader and one writer at a time.
public actor ResumableConnection {
  /// The daemon's name for it; stable over failovers.
  public nonisolated let id: String
  /// What was given at registration.
  public nonisolated let key: String?
  /// The state of the checkpoint from which an adopted connection goes on; nil when there is none, or it was not adopted.
  public nonisolated let checkpointedState: [UInt8]?

  /// Input offset of the next byte that is read.
  public private(set) var consumed: Int
  /// Output offset of the next byte that is written.
  public private(set) var produced: Int
  /// Output that will be skipped because the peer has it or will get it, bytes.
  public private(set) var skipping: Int

  private var socket: Descriptor?
  private let number: Int32
  private let readiness: SocketReadiness
  private let daemon: AsyncHoldfast

  init(
    _ socket: consuming Descriptor, id: String, key: String?, adopted: ConnectionInfo?,
    checkpoint: AdoptedConnection.Checkpoint?, daemon: AsyncHoldfast
  ) throws(HoldfastError) {
    do throws(SystemCallError) {
      readiness = try SocketReadiness.shared.get()
      try UnixSocket.setNonblocking(socket.number)
    } catch {
      throw .system(error)
    }
    self.id = id
    self.key = key
    self.daemon = daemon
    checkpointedState = checkpoint?.state
    consumed = adopted?.consumed ?? 0
    let sent = adopted?.sent ?? 0
    produced = checkpoint?.produced ?? sent
    skipping = sent - (checkpoint?.produced ?? sent)
    number = socket.number
    self.socket = Optional(consume socket)
  }

  deinit { readiness.forget(number) }

  /// The application makes its output anew from `produced` on: what has been sent beyond that is skipped.
  /// - Returns: false, without effect, when `produced` is not within what has been written.
  @discardableResult
  public func rewind(to produced: Int = 0) -> Bool {
    guard (0...self.produced + skipping).contains(produced) else { return false }
    skipping += self.produced - produced
    self.produced = produced
    return true
  }

  /// Up to `count` bytes; empty at the end of the stream.
  public func read(upTo count: Int) async throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: max(count, 0))
    while true {
      let number = try open()
      let read = try nonblockingCall("recv", { recv(number, &buffer, buffer.count, 0) })
      if let read {
        consumed += read
        return Array(buffer[..<read])
      }
      try await readiness.wait(for: .read, of: number)
    }
  }

  /// Writes all of `bytes`, less what is to be skipped.
  public func write(_ bytes: some Sequence<UInt8>) async throws {
    var rest = Array(bytes)[...]
    let skipped = min(skipping, rest.count)
    skipping -= skipped
    produced += skipped
    rest = rest.dropFirst(skipped)
    while !rest.isEmpty {
      let number = try open()
      let count = try rest.withUnsafeBytes { bytes in
        try nonblockingCall("send", { send(number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) })
      }
      if let count {
        produced += count
        rest = rest.dropFirst(count)
      } else {
        try await readiness.wait(for: .write, of: number)
      }
    }
  }

  /// Input up to `offset`, or all that was read, need not come again: for retention `confirm`.
  public func confirm(_ offset: Int? = nil) async throws(HoldfastError) {
    try await daemon.confirm(id, consumed: offset ?? consumed)
  }

  /// `state` is valid after what was read and written so far. What is written after this call leaves the host only when the standby
  /// has the checkpoint.
  /// - Parameter state: up to 256 KiB.
  public func checkpoint(_ state: [UInt8]) async throws(HoldfastError) {
    try await daemon.checkpoint(id, state: state, consumed: consumed, produced: produced)
  }

  /// Ends the output; the connection stays protected until both sides have ended.
  public func close() async throws(HoldfastError) { try await end(.close) }

  /// Ends the connection at once: the peer gets a reset.
  public func reset() async throws(HoldfastError) { try await end(.reset) }

  private func end(_ how: ReleaseMode) async throws(HoldfastError) {
    guard socket != nil else { return }
    readiness.forget(number)
    do throws(HoldfastError) {
      try await daemon.release(id, how: how)
    } catch {
      // One that has ended already needs no end.
      if case .refused(.noSuchConnection) = error {} else { throw error }
    }
    socket = nil
  }

  private func open() throws(HoldfastError) -> Int32 {
    guard socket != nil else { throw .system(SystemCallError("recv or send", on: id, errno: .badFileDescriptor)) }
    return number
  }
}
