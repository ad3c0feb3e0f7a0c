internal import SystemCalls

/// Reads messages, and the descriptors that belong to them, from a stream socket.
///
/// The kernel joins messages into one read but ends the read with the write that carried descriptors. So descriptors belong to
/// the last message of the read that brought them: the last complete one, or, when the read ends inside a message (one too
/// long for a single piece of kernel memory), to that one once it is complete.
final class MessageReader {
  final class Message {
    let bytes: [UInt8]
    /// It had more bytes than a message may have; none of them was kept.
    let isTooLong: Bool
    /// What came with it and was not taken is closed with the message.
    var descriptors = ReceivedDescriptors()
    init(_ bytes: [UInt8], isTooLong: Bool = false) {
      self.bytes = bytes
      self.isTooLong = isTooLong
    }
  }

  enum Outcome {
    case messages([Message])
    case wouldBlock
    case end
  }

  private var framer: MessageFramer
  /// Of the message that is not complete yet.
  private var early = ReceivedDescriptors()
  private let space = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)

  /// - Parameter limit: longest message, bytes.
  init(limit: Int) { framer = MessageFramer(limit: limit) }

  deinit { space.deallocate() }

  /// Reads once; may bring no message at all.
  func read(from socket: Int32) throws(DescriptorPassingError) -> Outcome {
    var arrived = ReceivedDescriptors()
    guard let count = try DescriptorPassing.receive(into: space, adding: &arrived, over: socket) else {
      return .wouldBlock
    }
    guard count > 0 else { return .end }
    framer.append(UnsafeRawBufferPointer(rebasing: space[..<count]))
    var messages: [Message] = []
    while let piece = framer.next() {
      switch piece {
      case .message(let bytes): messages.append(Message(bytes))
      case .tooLong: messages.append(Message([], isTooLong: true))
      }
    }
    if let first = messages.first { first.descriptors.append(&early) }
    if framer.isSkipping {
      // Nobody will ever name them.
      early = ReceivedDescriptors()
    } else if framer.isInsideMessage {
      early.append(&arrived)
    } else if let last = messages.last {
      last.descriptors.append(&arrived)
    }
    return .messages(messages)
  }
}
