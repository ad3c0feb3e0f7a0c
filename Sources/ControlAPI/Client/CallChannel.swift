package import SystemCalls
internal import SystemPackage

/// The calling side of a control connection: blocking, for one thread at a time, one call after the other.
package final class CallChannel {
  /// A reply, and the descriptors that came with it.
  package struct Answer<Value>: ~Copyable {
    package let parameters: Value
    /// Another reply to the same call follows.
    package let continues: Bool
    package var descriptors: ReceivedDescriptors
  }

  package enum Failure: Error {
    case system(SystemCallError)
    /// The service closed the connection, or sent what is no reply.
    case closed
    case malformed(String)
    case refused(ControlError)
    /// Descriptors came that this process has no room for. Which reply they were for cannot be told: this side has hung up, and what
    /// was sent and not taken stays the service's.
    case descriptorsLost
  }

  private let socket: Descriptor
  private let reader: MessageReader
  private var replies: [MessageReader.Message] = []

  /// Longest reply: room for the list of some hundred thousand connections.
  private static let replyLimit = 256 << 20

  /// - Parameter patience: longest time without a byte, ms; nil waits for ever.
  package init(path: String, patience: Int? = nil) throws(SystemCallError) {
    socket = try UnixSocket.connect(to: path)
    reader = MessageReader(limit: Self.replyLimit)
    if let patience { try UnixSocket.setPatience(socket.number, milliseconds: patience) }
  }

  package var descriptorNumber: Int32 { socket.number }

  /// The service has hung up, or has sent what nobody asked for: of no use for another call.
  package var isStale: Bool { UnixSocket.isHungUp(socket.number) || !replies.isEmpty }

  /// Sends a call, with a descriptor if it names one. All of it goes in one piece, as the interface asks.
  package func send(
    _ method: String, _ parameters: some Encodable, descriptor: Int32? = nil, more: Bool = false
  ) throws(Failure) {
    guard let bytes = try? VarlinkCodec.encodeCall(method, parameters, more: more) else {
      throw .malformed("the parameters of \(method) cannot be encoded")
    }
    var rest = bytes[...]
    var descriptors = descriptor.map { [$0] } ?? []
    do throws(SystemCallError) {
      while !rest.isEmpty {
        guard let count = try DescriptorPassing.send(rest, descriptors: descriptors, over: socket.number) else {
          throw SystemCallError("sendmsg", on: "the control socket", errno: .timedOut)
        }
        rest = rest.dropFirst(count)
        descriptors = []
      }
    } catch {
      throw error.errno == .brokenPipe || error.errno == .connectionReset ? .closed : .system(error)
    }
  }

  /// Waits for the next reply.
  package func receive<Value: Decodable>(_ type: Value.Type = Value.self) throws(Failure) -> Answer<Value> {
    while replies.isEmpty {
      do throws(DescriptorPassingError) {
        switch try reader.read(from: socket.number) {
        case .messages(let messages): replies += messages
        case .end:
          throw .system(SystemCallError("recvmsg", on: "the control socket", errno: .connectionReset))
        case .wouldBlock:
          throw .system(SystemCallError("recvmsg", on: "the control socket", errno: .timedOut))
        }
      } catch {
        if error == .descriptorsLost { UnixSocket.shutDown(socket.number) }
        throw Self.failure(error)
      }
    }
    let message = replies.removeFirst()
    guard !message.isTooLong else { throw .malformed("a reply is longer than \(Self.replyLimit) bytes") }
    var descriptors = ReceivedDescriptors()
    descriptors.append(&message.descriptors)
    do {
      let reply = try VarlinkCodec.decodeReply(type, from: message.bytes)
      return Answer(parameters: reply.parameters, continues: reply.continues, descriptors: descriptors)
    } catch let error as ControlError {
      throw .refused(error)
    } catch {
      throw .malformed("\(error)")
    }
  }

  private static func failure(_ error: DescriptorPassingError) -> Failure {
    switch error {
    case .descriptorsLost: .descriptorsLost
    case .system(let error):
      error.errno == .connectionReset || error.errno == .brokenPipe ? .closed : .system(error)
    }
  }
}
