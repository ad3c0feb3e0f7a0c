/// Cuts a stream into varlink messages: each ends with one NUL byte, which no JSON text contains.
struct MessageFramer {
  enum Piece: Hashable {
    case message([UInt8])
    /// More bytes came without a NUL than a message may have. What else there is of it is skipped, and takes no memory.
    case tooLong
  }

  /// Longest message, bytes without its NUL.
  let limit: Int
  private var buffer: [UInt8] = []
  /// Where the next message begins.
  private var start = 0
  /// No NUL lies between `start` and here.
  private var scanned = 0
  /// The stream stands inside a message that was too long.
  private(set) var isSkipping = false

  init(limit: Int) { self.limit = limit }

  /// The stream stands inside a message.
  var isInsideMessage: Bool { isSkipping || start < buffer.count }

  /// Adds what was read. Take all messages out before the next call.
  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    if start > 0 {
      buffer.removeFirst(start)
      scanned -= start
      start = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// The next complete message, without its NUL, or that it is too long; nil when there is none.
  mutating func next() -> Piece? {
    let end = buffer[scanned...].firstIndex(of: 0)
    scanned = end ?? buffer.count
    let isTooLong = !isSkipping && scanned - start > limit
    guard let end else {
      if isTooLong { isSkipping = true }
      if isSkipping { start = scanned }
      return isTooLong ? .tooLong : nil
    }
    let message = start..<end
    start = end + 1
    scanned = start
    if isSkipping {
      isSkipping = false
      return next()
    }
    return isTooLong ? .tooLong : .message(Array(buffer[message]))
  }
}
