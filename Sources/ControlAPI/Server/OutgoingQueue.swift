internal import SystemCalls

/// A message on its way out, with the descriptor that goes with it.
final class OutgoingMessage {
  let bytes: [UInt8]
  /// Kept open until the kernel has it.
  private var descriptor: SharedDescriptor?

  init(_ bytes: [UInt8], descriptor: SharedDescriptor?) {
    self.bytes = bytes
    self.descriptor = descriptor
  }

  /// What the kernel has still to take, at most one.
  fileprivate var descriptorNumbers: [Int32] { descriptor.map { [$0.number] } ?? [] }

  fileprivate func descriptorHasGone() { descriptor = nil }
}

/// What waits for the socket to take it, in order.
struct OutgoingQueue {
  private var messages: [OutgoingMessage] = []
  /// Messages before this one have gone.
  private var head = 0
  /// Bytes of the first message that have gone.
  private var offset = 0

  var isEmpty: Bool { head == messages.count }

  mutating func append(contentsOf more: [OutgoingMessage]) { messages += more }

  mutating func removeAll() { self = OutgoingQueue() }

  /// Writes as much as the socket takes now.
  /// - Returns: bytes of the messages that have gone entirely.
  mutating func flush(to socket: Int32) throws(SystemCallError) -> Int {
    var gone = 0
    defer {
      // Not each time: it would make a long queue quadratic.
      if isEmpty || head > 256 {
        messages.removeFirst(head)
        head = 0
      }
    }
    while head < messages.count {
      let message = messages[head]
      let sent = try DescriptorPassing.send(
        message.bytes[offset...], descriptors: message.descriptorNumbers, over: socket)
      guard let sent else { return gone }
      message.descriptorHasGone()
      offset += sent
      guard offset == message.bytes.count else { continue }
      gone += offset
      head += 1
      offset = 0
    }
    return gone
  }
}
