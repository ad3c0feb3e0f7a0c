internal import Lab
internal import TCPModel

/// One connection of the server: its shape and two offsets are all that there is to know, so it can go on wherever they are
/// known.
final class ServedConnection {
  let socket: TCPSocket
  /// The daemon's name for it; `nil` when it is not registered.
  let id: String?
  let peer: Endpoint
  let shape: Shape
  private(set) var consumed: UInt64
  private(set) var sent: UInt64
  private let inbound: Pattern
  private let outbound: Pattern
  private var inputEnded = false

  enum Event {
    case goesOn
    /// Both sides have had what they were to get, or the peer has gone.
    case ended
    case broken(String)
    /// A byte that the client has not sent there.
    case mismatch(UInt64)
  }

  init(socket: TCPSocket, id: String?, peer: Endpoint, shape: Shape, consumed: UInt64 = 0, sent: UInt64 = 0) {
    self.socket = socket
    self.id = id
    self.peer = peer
    self.shape = shape
    self.consumed = consumed
    self.sent = sent
    inbound = Shape.inbound(clientPort: peer.port)
    outbound = Shape.outbound(clientPort: peer.port)
  }

  private var limit: UInt64 { shape.outputLimit(consumed: consumed, sent: sent, inputEnded: inputEnded) }

  var interest: Poller.Interest {
    var interest: Poller.Interest = inputEnded ? [] : .read
    if sent < limit { interest.insert(.write) }
    return interest
  }

  /// Reads, checks and answers as far as that goes without waiting.
  func proceed(_ event: Poller.Interest, buffer: UnsafeMutableRawBufferPointer) -> Event {
    do {
      if !inputEnded, !event.isDisjoint(with: [.read, .broken]) {
        if let wrong = try read(into: buffer) { return .mismatch(wrong) }
      }
      try write(with: buffer)
      return inputEnded && sent >= limit ? .ended : .goesOn
    } catch {
      return .broken("\(error)")
    }
  }

  private func read(into buffer: UnsafeMutableRawBufferPointer) throws -> UInt64? {
    // A few rounds: other connections want their turn.
    for _ in 0..<4 {
      guard let count = try socket.read(into: buffer) else { return nil }
      if count == 0 {
        inputEnded = true
        return nil
      }
      let piece = UnsafeRawBufferPointer(rebasing: buffer[..<count])
      if let wrong = inbound.firstMismatch(in: piece, from: consumed) { return wrong }
      consumed += UInt64(count)
      if count < buffer.count { return nil }
    }
    return nil
  }

  private func write(with buffer: UnsafeMutableRawBufferPointer) throws {
    let limit = limit
    for _ in 0..<4 where sent < limit {
      let count = Int(min(limit - sent, UInt64(buffer.count)))
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
      if shape == .upload {
        for index in 0..<count { piece[index] = trailer(Int(sent) + index) }
      } else {
        outbound.fill(piece, from: sent)
      }
      guard let done = try socket.write(UnsafeRawBufferPointer(piece)) else { return }
      sent += UInt64(done)
      if done < count { return }
    }
  }

  /// The answer to an upload: the number of bytes that came.
  private func trailer(_ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: consumed >> UInt64(56 - 8 * index)) }
}
