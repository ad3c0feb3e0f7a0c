internal import LinuxNetwork

/// Reads messages, and the descriptors that belong to them, from a stream socket.
///
/// The kernel joins messages into one read but ends the read with the write that carried descriptors. So descriptors belong to
/// the last message of the read that brought them: the last complete one, or, when the read ends inside a message (one too
/// long for a single piece of kernel memory), to that one once it is complete.
final class MessageReader {
  final class Message {
    let bytes: [UInt8]
    /// What came with it and was not taken is closed with the message.
    var descriptors = ReceivedDescriptors()
    init(_ bytes: [UInt8]) { self.bytes = bytes }
  }

  enum Outcome {
    case messages([Message])
    case wouldBlock
    case end
  }

  enum Failure: Error, Equatable {
    case oversized(limit: Int)
    case passing(DescriptorPassingError)
  }

  private var framer: MessageFramer
  /// Of the message that is not complete yet.
  private var early = ReceivedDescriptors()
  private let space = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)

  init(limit: Int) { framer = MessageFramer(limit: limit) }

  deinit { space.deallocate() }

  /// Reads once; may bring no message at all.
  func read(from socket: Int32) throws(Failure) -> Outcome {
    var arrived = ReceivedDescriptors()
    let count: Int?
    do throws(DescriptorPassingError) {
      count = try DescriptorPassing.receive(into: space, adding: &arrived, over: socket)
    } catch {
      throw .passing(error)
    }
    guard let count else { return .wouldBlock }
    guard count > 0 else { return .end }
    framer.append(UnsafeRawBufferPointer(rebasing: space[..<count]))
    var messages: [Message] = []
    do throws(MessageFramer.Oversized) {
      while let bytes = try framer.next() { messages.append(Message(bytes)) }
    } catch {
      throw .oversized(limit: error.limit)
    }
    if let first = messages.first { first.descriptors.append(&early) }
    if !framer.isInsideMessage, let last = messages.last {
      last.descriptors.append(&arrived)
    } else {
      early.append(&arrived)
    }
    return .messages(messages)
  }
}
