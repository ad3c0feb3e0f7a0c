/// Cuts a stream into varlink messages: each ends with one NUL byte, which no JSON text contains.
struct MessageFramer {
  /// More bytes came without a NUL than a message may have.
  struct Oversized: Error, Hashable {
    let limit: Int
  }

  /// Longest message, bytes without its NUL.
  let limit: Int
  private var buffer: [UInt8] = []
  /// Where the next message begins.
  private var start = 0
  /// No NUL lies between `start` and here.
  private var scanned = 0

  init(limit: Int) { self.limit = limit }

  /// The stream stands inside a message.
  var isInsideMessage: Bool { start < buffer.count }

  /// Adds what was read. Take all messages out before the next call.
  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    if start > 0 {
      buffer.removeFirst(start)
      scanned -= start
      start = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// The next complete message, without its NUL; nil when there is none.
  mutating func next() throws(Oversized) -> [UInt8]? {
    let end = buffer[scanned...].firstIndex(of: 0)
    scanned = end ?? buffer.count
    guard scanned - start <= limit else { throw Oversized(limit: limit) }
    guard let end else { return nil }
    defer {
      start = end + 1
      scanned = start
    }
    return Array(buffer[start..<end])
  }
}
